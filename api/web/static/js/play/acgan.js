// The playground of a conditional generator: draw a number, one latent for all classes, sliders of the latent.
import { html, nothing, live } from "../lib.js";
import { View } from "../element.js";
import { parameters, setParameters } from "../address.js";
import { Graphs, latents, newestOnly } from "../inference.js";
import { drawSheet, normal, savePng } from "../pixels.js";

const SHOWN = 8;

class GeneratorPlay extends View {
  z = [];
  order = null;
  everything = false;
  error = null;
  ready = false;
  names = [];

  start() {
    this.size = this.model.hyperparameters.latent_size;
    this.graphs = new Graphs(this.model.id);
    this.draw = newestOnly(async () => {
      const began = performance.now();
      await this.sheet("canvas.classes", this.names.map((_, label) => label), Math.min(10, this.names.length));
      const wanted = this.wanted();
      if (wanted.length) await this.sheet("canvas.wanted", wanted, wanted.length);
      this.querySelector(".took").textContent = `${(performance.now() - began).toFixed(0)} ms in this browser`;
    });
    this.graphs.load("generator").then(async ({ metadata }) => {
      this.names = metadata.class_names ? JSON.parse(metadata.class_names) : [""];
      this.isNormal = !/uniform/.test(metadata.about ?? "");
      this.z = this.random();
      this.ready = true;
      this.update();
      await Promise.resolve();
      this.draw();
      await this.rank();
    }).catch((error) => ((this.error = error), this.update()));
  }

  /** A latent of the model's own prior. */
  random() {
    return Array.from({ length: this.size }, () => (this.isNormal ? normal() : 2 * Math.random() - 1));
  }

  feeds(rows, labels) {
    const feeds = { z: latents(rows, this.size) };
    if (this.model.model_type === "acgan") feeds.label = { type: "int64", data: BigInt64Array.from(labels.map(BigInt)), dims: [labels.length] };
    return feeds;
  }

  async sheet(selector, labels, columns) {
    const { images } = await this.graphs.run("generator", this.feeds(labels.map(() => this.z), labels));
    const canvas = this.querySelector(selector);
    if (canvas) drawSheet(canvas, images, columns);
  }

  /** Order the coordinates by how much the image changes with each, the strongest first. */
  async rank() {
    const rows = [this.z];
    for (let i = 0; i < this.size; i++) rows.push(this.z.map((value, j) => (i === j ? (value > 0 ? value - 1 : value + 1) : value)));
    const { images } = await this.graphs.run("generator", this.feeds(rows, rows.map(() => 0)));
    const length = images.data.length / rows.length;
    const change = Array.from({ length: this.size }, (_, i) => {
      let sum = 0;
      for (let p = 0; p < length; p++) sum += (images.data[(i + 1) * length + p] - images.data[p]) ** 2;
      return sum;
    });
    this.order = change.map((_, i) => i).sort((a, b) => change[b] - change[a]);
    this.update();
  }

  /** Labels of the typed number: each character is a class name. */
  wanted() {
    const text = parameters().get("draw") ?? (this.names.includes("0") ? "2026" : "");
    return [...text].map((character) => this.names.indexOf(character)).filter((label) => label >= 0).slice(0, 24);
  }

  set(z) {
    this.z = z;
    this.update();
    this.draw();
  }

  view() {
    if (this.error) return html`<div class="notice bad" role="alert">${this.error.message}</div>`;
    if (!this.ready) return html`<div class="empty">Preparing the model for this browser …</div>`;
    const isDigits = this.names.some((name) => name.length === 1);
    const columns = Math.min(10, this.names.length);
    const order = this.order ?? this.z.map((_, i) => i);
    const shown = this.everything ? order : order.slice(0, SHOWN);
    return html`
      <div class="bar">
        ${isDigits ? html`<label>draw <input class="draw" inputmode="numeric" maxlength="24" .value=${live(parameters().get("draw") ?? "2026")} @input=${(event) => (setParameters({ draw: event.target.value }), this.update(), queueMicrotask(() => this.draw()))}></label>` : nothing}
        <button class="primary" @click=${() => this.set(this.random())}>Random</button>
        <button @click=${() => this.set(this.z.map(() => 0))}>Reset</button>
        <button @click=${() => savePng(this.querySelector("canvas.classes"), `${this.model.id}.png`)}>Save PNG</button>
        <span class="muted took">&nbsp;</span>
      </div>
      ${isDigits ? html`<canvas class="wanted pixels" data-count=${this.wanted().length} role="img" aria-label="The number ${parameters().get("draw") ?? "2026"}"></canvas>` : nothing}
      <h2 class="spaced">One latent, all classes</h2>
      <canvas class="classes pixels" data-columns=${columns} role="img" aria-label="One image of each class: ${this.names.join(", ")}"></canvas>
      <p class="muted">${this.names.filter(Boolean).join(" · ")}</p>
      <h2 class="spaced">Latent, strongest first</h2>
      <div class="sliders">${shown.map((i) => html`<label><span class="mono">z<sub>${i}</sub></span><input type="range" min=${this.isNormal ? -3 : -1} max=${this.isNormal ? 3 : 1} step="0.01" .value=${live(String(this.z[i]))} @input=${(event) => this.set(this.z.map((value, j) => (i === j ? +event.target.value : value)))}></label>`)}</div>
      ${this.size > SHOWN ? html`<button @click=${() => ((this.everything = !this.everything), this.update())}>${this.everything ? "Strongest only" : `All ${this.size}`}</button>` : nothing}`;
  }
}
customElements.define("m-play-generator", GeneratorPlay);
