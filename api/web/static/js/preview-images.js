// Images of a dataset: a row for each class, or all of one class, page by page.
import { html, nothing } from "./lib.js";
import { View } from "./element.js";
import { at, parameters, setParameters } from "./address.js";
import { get } from "./api.js";
import { drawSheet } from "./pixels.js";
import { count } from "./format.js";

const OF_EACH = 6, OF_ONE = 100, COLUMNS = 10;

/** Images of a preview for `drawSheet`: {data in [0, 1], dims}. */
export function decoded({ pixels, channels, height, width, indices }) {
  const data = Float32Array.from(atob(pixels), (character) => character.charCodeAt(0) / 255);
  return { data, dims: [indices.length, channels, height, width] };
}

class ImagesPreview extends View {
  name = "";
  hasPicture = false; // of uploaded images, there before they are prepared
  images = null;
  error = null;

  start() {
    addEventListener("popstate", () => this.load());
    this.load();
  }

  options() {
    const query = parameters();
    const label = query.get("label");
    return { label: label === null ? null : +label, part: query.get("part") === "test" ? "test" : "train", offset: +(query.get("offset") ?? 0), seed: query.get("seed") };
  }

  choose(values) {
    setParameters(values, { push: true });
    return this.load();
  }

  async load() {
    const { label, part, offset, seed } = this.options();
    const query = new URLSearchParams({ part, limit: label === null ? OF_EACH : OF_ONE, offset });
    if (label !== null) query.set("label", label);
    if (seed) query.set("seed", seed);
    try {
      this.images = (await get(`/v1/datasets/${encodeURIComponent(this.name)}/preview?${query}`)).images;
      this.pixels = decoded(this.images);
      this.error = null;
    } catch (error) {
      this.error = error;
      this.images = null;
    }
    this.update();
  }

  rendered() {
    if (!this.images) return;
    const { data, dims: [, ...shape] } = this.pixels;
    const size = shape.reduce((product, value) => product * value, 1);
    for (const canvas of this.querySelectorAll("canvas.sheet")) {
      const places = this.images.labels.flatMap((label, i) => (label === +canvas.dataset.label ? [i] : []));
      if (!places.length) continue;
      const first = places[0], last = places.at(-1) + 1;
      drawSheet(canvas, { data: data.subarray(first * size, last * size), dims: [last - first, ...shape] }, Math.min(COLUMNS, places.length));
    }
  }

  view() {
    if (this.error) return html`<div class="empty">${this.hasPicture ? html`<p><img class="pixels" src=${at(`/v1/datasets/${this.name}/picture`)} alt="The first images of each class, a row for a class"></p>` : nothing}<p>${this.error.message}</p></div>`;
    if (!this.images) return html`<div class="empty tall">Reading the images …</div>`;
    const { label, part, offset, seed } = this.options();
    const { classes } = this.images;
    const chosen = label === null ? null : classes[label];
    return html`<section class="panel" aria-label="Images">
      <div class="bar"><h2>${chosen ? `Class ${chosen.name}` : "By class"}</h2>
        ${chosen ? html`<button @click=${() => this.choose({ label: "", offset: "" })}>All classes</button>` : nothing}
        <label>part <select @change=${(event) => this.choose({ part: event.target.value === "train" ? "" : "test", offset: "" })}>
          <option value="train" ?selected=${part === "train"}>for training</option><option value="test" ?selected=${part === "test"}>for testing</option></select></label>
        <button @click=${() => this.choose({ seed: Math.floor(Math.random() * 1e6) + 1, offset: "" })}>Random</button>
        ${seed ? html`<button @click=${() => this.choose({ seed: "" })}>In order</button>` : nothing}
      </div>
      ${chosen ? this.one(chosen, offset) : html`<div class="classes">${classes.map((each) => html`<div class="class-row"><button class="quiet" title="All images of this class" @click=${() => this.choose({ label: String(each.label), offset: "" })}>${each.name} <span class="muted">${count(each.count)}</span></button>
        ${this.canvas(each)}</div>`)}</div>`}
    </section>`;
  }

  canvas({ label, name }) {
    const shown = this.images.labels.filter((each) => each === label).length;
    return shown ? html`<canvas class="sheet pixels" data-label=${label} data-count=${shown} role="img" aria-label="${shown} images of the class ${name}"></canvas>` : html`<span class="muted">none in this part</span>`;
  }

  one(chosen, offset) {
    const shown = this.images.indices.length;
    const last = offset + shown;
    return html`${this.canvas(chosen)}
      <div class="bar after"><span class="muted">${shown ? `${count(offset + 1)} to ${count(last)} of ${count(chosen.count)}` : "none here"}</span>
        <button ?disabled=${offset === 0} @click=${() => this.choose({ offset: Math.max(0, offset - OF_ONE) || "" })}>Back</button>
        <button ?disabled=${last >= chosen.count || !shown} @click=${() => this.choose({ offset: last })}>More</button></div>`;
  }
}
customElements.define("m-preview-images", ImagesPreview);
