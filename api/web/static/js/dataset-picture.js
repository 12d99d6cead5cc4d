// A small picture of a dataset: images of each class, or the start of a text. Its space is reserved.
import { html, nothing } from "./lib.js";
import { View } from "./element.js";
import { get } from "./api.js";
import { drawSheet } from "./pixels.js";
import { decoded } from "./preview-images.js";

const OF_EACH = 3, CLASSES = 10, LENGTH = 220;

const previews = new Map();
/** The preview of a dataset, read once for all its pictures on the page. */
function previewOf(name) {
  if (!previews.has(name)) previews.set(name, get(`/v1/datasets/${encodeURIComponent(name)}/preview?limit=${OF_EACH}&length=${LENGTH}`));
  return previews.get(name);
}

class DatasetPicture extends View {
  name = "";
  preview = null;

  start() {
    this.classList.add("picture");
    if (this.name)
      previewOf(this.name).then((preview) => ((this.preview = preview), this.update()), () => {});
  }

  rendered() {
    const canvas = this.querySelector("canvas");
    if (!canvas) return;
    const { data, dims: [, ...shape] } = decoded(this.preview.images);
    const size = shape.reduce((product, value) => product * value, 1);
    const { labels } = this.preview.images;
    // A row for each example, a column for each of the first classes.
    const places = Array.from({ length: OF_EACH }, (_, row) => Array.from({ length: CLASSES }, (_, label) => labels.indexOf(label) + row)).flat();
    const chosen = new Float32Array(places.length * size);
    places.forEach((place, i) => labels[place] === i % CLASSES && chosen.set(data.subarray(place * size, (place + 1) * size), i * size));
    drawSheet(canvas, { data: chosen, dims: [places.length, ...shape] }, CLASSES);
  }

  view() {
    if (this.preview?.images) return html`<canvas class="sheet pixels" role="img" aria-label="Images of ${this.name}"></canvas>`;
    if (this.preview?.text) return html`<pre aria-label="The start of ${this.name}">${this.preview.text.excerpt}</pre>`;
    return nothing;
  }
}
customElements.define("m-dataset-picture", DatasetPicture);
