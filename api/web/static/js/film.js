// The film of a job: one slider moves pictures, texts and the crosshair of the curves.
import { html, nothing, repeat, live } from "./lib.js";
import { at, idOfPage, parameters, setParameters } from "./address.js";
import { animated } from "./png.js";
import { enlarged } from "./pixels.js";
import { save } from "./save.js";
import { lastAt } from "./curve-data.js";
import { View } from "./element.js";

const LAST_MS = 1500; // of the newest frame in a saved film
const isPicture = (sample) => sample.media_type.startsWith("image/");
const NEAR = 10; // decoded frames kept on each side
const TABLE_ROWS = 12; // epochs of the table of texts
const TABLE_CHARACTERS = 160; // of each text in it
const when = (frame) => (frame.epoch === 0 ? "before training" : `epoch ${frame.epoch}`);

/** Samples grouped into frames by step: [{step, epoch, samples}], the first step first. */
export function frames(samples) {
  const found = new Map();
  for (const sample of samples) {
    const frame = found.get(sample.step) ?? { step: sample.step, epoch: sample.epoch, samples: [] };
    frame.samples.push(sample);
    found.set(sample.step, frame);
  }
  for (const frame of found.values())
    frame.samples.sort((a, b) => (a.details.temperature ?? 0) - (b.details.temperature ?? 0) || a.name.localeCompare(b.name));
  return [...found.values()].sort((a, b) => a.step - b.step);
}

let timer = 0;
/** Keep the epoch in view in the page's address, once it rests; "" for the newest. */
export function keepEpoch(epoch) {
  clearTimeout(timer);
  timer = setTimeout(() => setParameters({ epoch: String(epoch) }), 300);
}

/** The epoch in the page's address; null without one. */
export function wantedEpoch() {
  const text = parameters().get("epoch");
  return text && Number.isFinite(+text) ? +text : null;
}

export class Film extends View {
  samples = [];
  index = 0;
  newest = true;
  playing = 0;
  speed = 5;
  wanted = null; // the epoch to show first; null: the newest
  tabled = false; // whether the table of texts is open
  #texts = new Map();
  #images = new Map();

  start() {
    this.classList.add("film");
    this.tabIndex = 0;
    this.addEventListener("keydown", (event) => this.key(event));
  }

  disconnectedCallback() {
    clearInterval(this.playing);
  }

  /** Show these samples; the place stays unless the film follows the newest frame. */
  show(samples) {
    const step = this.frames?.[this.index]?.step;
    this.samples = samples;
    this.frames = frames(samples);
    if (this.wanted != null && this.frames.length) {
      this.index = lastAt(this.frames, (frame) => frame.epoch, this.wanted);
      this.newest = false;
      this.wanted = null;
    } else if (this.newest && !this.playing) this.index = this.frames.length - 1;
    else if (step != null) this.index = Math.max(0, this.frames.findIndex((frame) => frame.step === step));
    this.moved();
  }

  /** Go to a frame. */
  go(index, { newest = false } = {}) {
    this.index = Math.max(0, Math.min((this.frames ?? []).length - 1, index));
    this.newest = newest || this.index === this.frames.length - 1;
    this.moved();
  }

  /** Go to the last frame at or before a step. */
  goToStep(step) {
    if (!this.frames?.length) return;
    this.play(false);
    this.go(lastAt(this.frames, (frame) => frame.step, step));
  }

  play(on = !this.playing) {
    clearInterval(this.playing);
    this.playing = 0;
    if (on && this.frames?.length > 1) {
      if (this.index === this.frames.length - 1) this.index = 0;
      this.newest = false;
      this.playing = setInterval(() => {
        if (this.index >= this.frames.length - 1) this.play(false);
        else ((this.index += 1), this.moved());
      }, 1000 / this.speed);
    }
    this.update();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("select, button, summary, input:not([type=range])") && event.key !== "Home" && event.key !== "End") return;
    if (this.press(event.key)) event.preventDefault();
  }

  /** Do what a key does. False for a key without a meaning here. */
  press(key) {
    const keys = { " ": () => this.play(), ArrowRight: () => this.go(this.index + 1), ArrowLeft: () => this.go(this.index - 1), Home: () => this.go(0), End: () => this.go(Infinity, { newest: true }) };
    keys[key]?.();
    return key in keys;
  }

  moved() {
    this.update();
    const frame = this.frames?.[this.index];
    if (frame) this.dispatchEvent(new CustomEvent("frame", { detail: frame, bubbles: true }));
    this.preload();
  }

  /** Decode the pictures near the current frame, and forget those further away. */
  preload() {
    const near = new Set();
    for (const frame of this.frames.slice(Math.max(0, this.index - NEAR), this.index + NEAR + 1))
      for (const sample of frame.samples) if (isPicture(sample)) near.add(address(sample));
    for (const key of this.#images.keys()) if (!near.has(key)) this.#images.delete(key);
    for (const key of near)
      if (!this.#images.has(key)) {
        const image = new Image();
        image.src = key;
        this.#images.set(key, image);
      }
  }

  text(sample) {
    if (!this.#texts.has(sample.sha256)) {
      this.#texts.set(sample.sha256, "…");
      fetch(address(sample)).then((response) => response.text()).then((text) => (this.#texts.set(sample.sha256, text), this.update()), () => this.#texts.delete(sample.sha256));
    }
    return this.#texts.get(sample.sha256);
  }

  /** Save the pictures of all frames as an animated PNG of the film's speed. */
  async save() {
    this.saving = true;
    this.update();
    try {
      const made = [];
      for (const sample of this.frames.map((frame) => frame.samples.find(isPicture)).filter(Boolean)) {
        const image = Object.assign(new Image(), { src: address(sample) });
        await image.decode();
        const size = scaled({ details: { width: image.naturalWidth, height: image.naturalHeight } });
        const png = await enlarged(image, size.width, size.height);
        made.push({ png: new Uint8Array(await png.arrayBuffer()), ms: 1000 / this.speed });
      }
      made.at(-1).ms = LAST_MS;
      save(animated(made), `${idOfPage()}-film.png`);
    } finally {
      this.saving = false;
      this.update();
    }
  }

  view() {
    const frame = this.frames?.[this.index];
    if (!frame) return html`<div class="frame"><p class="muted">Samples appear here: the first ones are of the model before it has learned anything.</p></div>`;
    const last = this.frames.length - 1;
    return html`
      <div class="frame">${frame.samples.some((sample) => sample.media_type.startsWith("text/"))
        ? html`<div class="texts">${repeat(frame.samples, (sample) => sample.name, (sample) => html`<figure><figcaption class="muted">T = ${sample.details.temperature ?? "–"}</figcaption><pre>${this.text(sample)}</pre></figure>`)}</div>`
        : repeat(frame.samples, (sample) => sample.name, (sample) => html`<img class="pixels" src=${address(sample)} width=${scaled(sample).width || nothing} height=${scaled(sample).height || nothing} alt=${frame.epoch ? `Samples after epoch ${frame.epoch}` : "Samples before training"}>`)}</div>
      <div class="controls">
        <button aria-label=${this.playing ? "Pause" : "Play"} @click=${() => this.play()}>${this.playing ? "❚❚" : "▶"}</button>
        <input type="range" min="0" max=${last} step="1" aria-label="Epoch" aria-valuetext=${when(frame)} .value=${live(String(this.index))} @input=${(event) => (this.play(false), this.go(+event.target.value))}>
        <span class="place">${when(frame)} <span class="muted">step ${frame.step.toLocaleString("en")}</span></span>
        <button ?disabled=${this.newest} @click=${() => (this.play(false), this.go(Infinity, { newest: true }))}>Newest</button>
        <label class="muted">speed <select aria-label="Frames a second" @change=${(event) => ((this.speed = +event.target.value), this.playing && this.play(true))}>
          ${[1, 2, 5, 10, 30].map((speed) => html`<option value=${speed} ?selected=${speed === this.speed}>${speed}/s</option>`)}</select></label>
        ${last > 0 && frame.samples.some(isPicture) ? html`<button class="save" ?disabled=${this.saving} title="All frames as an animated PNG" @click=${() => this.save()}>Save</button>` : nothing}
      </div>
      ${frame.samples.some((sample) => sample.details.temperature != null) ? this.table() : nothing}`;
  }

  /** Texts by epoch and temperature: the first frame, the newest, and others evenly between them. */
  table() {
    const last = this.frames.length - 1, count = Math.min(TABLE_ROWS, this.frames.length);
    const rows = [...new Set(Array.from({ length: count }, (_, i) => (count < 2 ? 0 : Math.round((i * last) / (count - 1)))))];
    const temperatures = this.frames[last].samples.map((sample) => sample.details.temperature);
    return html`<details ?open=${this.tabled} @toggle=${(event) => ((this.tabled = event.target.open), this.update())}><summary>All epochs × temperatures</summary>
      ${this.tabled ? html`<div class="scroll"><table class="table plain by-epoch"><thead><tr><th scope="col">epoch</th>${temperatures.map((value) => html`<th scope="col">T = ${value}</th>`)}</tr></thead><tbody>
        ${repeat(rows.map((index) => this.frames[index]), (each) => each.step, (each) => html`<tr><th scope="row"><button class="quiet" @click=${() => this.goToStep(each.step)}>${each.epoch}</button></th>
          ${temperatures.map((value) => {
            const sample = each.samples.find((one) => one.details.temperature === value);
            return html`<td><pre>${sample ? this.text(sample).slice(0, TABLE_CHARACTERS) : "–"}</pre></td>`;
          })}</tr>`)}</tbody></table></div>` : nothing}</details>`;
  }
}

const address = (sample) => at(`/v1/artifacts/${sample.id}/content`);

/** The picture's size on the page: a whole multiple of its pixels, about 480 px wide. */
function scaled(sample) {
  const { width, height } = sample.details;
  const factor = Math.max(1, Math.floor(480 / (width ?? 480)));
  return { width: width * factor, height: height * factor };
}

customElements.define("m-film", Film);
