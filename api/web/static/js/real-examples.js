// Real examples of a dataset: fixed ones beside the film, and rows by class beside what a generator draws.
import { html, nothing } from "./lib.js";
import { View } from "./element.js";
import { all, get } from "./api.js";
import "./dataset-picture.js";
import { drawSheet } from "./pixels.js";
import { decoded } from "./preview-images.js";

const HERE = ["builtin", "present"]; // to read another dataset would download it
const COLUMNS = 8; // real images of a class

class RealExamples extends View {
  source = null; // the dataset

  view() {
    const { name, kind, availability } = this.source;
    if (!HERE.includes(availability)) return nothing;
    return html`<h3>Real ${kind === "text" ? "text" : "images"} <span class="muted">${name}</span></h3><m-dataset-picture .name=${name}></m-dataset-picture>`;
  }
}
customElements.define("m-real-examples", RealExamples);

/** Random real images, a row for each class. source: name of the dataset. names: of the classes. */
class RealRows extends View {
  source = "";
  names = [];
  images = null;
  seed = 1;

  async start() {
    const found = (await all("/v1/datasets").catch(() => [])).find(({ name }) => name === this.source);
    if (found && HERE.includes(found.availability) && found.classes === this.names.length) await this.load();
  }

  async load() {
    this.images = (await get(`/v1/datasets/${encodeURIComponent(this.source)}/preview?limit=${COLUMNS}&seed=${this.seed}`).catch(() => ({}))).images ?? null;
    this.update();
  }

  rendered() {
    const canvas = this.querySelector("canvas");
    if (!canvas) return;
    const { data, dims: [, ...shape] } = decoded(this.images), size = shape.reduce((product, value) => product * value, 1);
    const rows = this.names.map((_, label) => this.images.labels.flatMap((each, place) => (each === label ? [place] : [])).slice(0, COLUMNS));
    const sheet = new Float32Array(rows.length * COLUMNS * size);
    rows.forEach((places, row) => places.forEach((place, column) => sheet.set(data.subarray(place * size, (place + 1) * size), (row * COLUMNS + column) * size)));
    drawSheet(canvas, { data: sheet, dims: [rows.length * COLUMNS, ...shape] }, COLUMNS);
  }

  view() {
    if (!this.images) return nothing;
    return html`<canvas class="real pixels" role="img" aria-label="Real images of ${this.source}, a row for each class"></canvas>
      <div class="bar after"><span class="muted">Real ones, of ${this.source}.</span><button @click=${() => ((this.seed += 1), this.load())}>Other real ones</button></div>`;
  }
}
customElements.define("m-real-rows", RealRows);
