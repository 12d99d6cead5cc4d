// The playground of a generator: draw a number, one latent for all classes, sliders of the latent, a sheet of other latents.
import { html, nothing, live } from "../lib.js";
import { View } from "../element.js";
import { parameters, setParameters } from "../address.js";
import { Graphs, latents, measured, newestOnly } from "../inference.js";
import "../real-examples.js";
import { copyRow, drawSheet, normals, savePng, uniforms } from "../pixels.js";
import { facts } from "./saved-view.js";
import { asCommand, generation } from "../command.js";

const SLIDERS = 8; // shown at first
const DIGITS = 24, NUMBER = "2026";
const WANTED_PX = 112; // width of a drawn digit
const CONTACTS = { acgan: 8, gan: 36 }; // other latents on the sheet: columns of each class, or images
const MOST_CONTACTS = 100;

class GeneratorPlay extends View {
  order = null;
  ready = false;
  everything = false;
  state = "Preparing the model for this browser …";
  names = [];

  start() {
    this.size = this.model.hyperparameters.latent_size;
    this.hasClasses = this.model.model_type === "acgan";
    this.graphs = new Graphs(this.model.id, (state) => ((this.state = state), this.update()));
    const failed = (error) => ((this.error = error), this.update());
    this.draw = newestOnly(async (began) => {
      const labels = this.names.map((_, label) => label), sheet = this.querySelector("canvas.classes");
      const { images } = await this.graphs.run("generator", this.feeds(labels.map(() => this.z), labels));
      drawSheet(sheet, images, labels.length);
      this.side = [images.dims[3], images.dims[2]];
      this.drawNumber();
      measured(began);
      this.querySelector(".took").textContent = `${(performance.now() - began).toFixed(0)} ms in this browser`;
    }, failed);
    this.contacts = newestOnly(async () => {
      const others = this.others(), labels = this.names.flatMap((_, label) => others.map(() => label));
      const { images } = await this.graphs.run("generator", this.feeds(labels.map((_, i) => others[i % others.length]), labels));
      drawSheet(this.querySelector("canvas.contacts"), images, this.columns);
    }, failed);
    this.graphs.load("generator").then(async ({ metadata }) => {
      this.names = metadata.class_names ? JSON.parse(metadata.class_names) : [""];
      // The prior in words is in the description of the input.
      this.isUniform = /uniform/.test(JSON.parse(metadata.about).z);
      this.z = this.fromAddress();
      this.ready = true;
      this.update();
      await Promise.resolve();
      this.draw(performance.now());
      this.contacts();
      await this.rank();
    }).catch(failed);
  }

  /** Latents of the model's own prior, from a seed. */
  *prior(seed) {
    const uniform = uniforms(seed), next = this.isUniform ? () => 2 * uniform() - 1 : normals(uniform);
    for (;;) yield Array.from({ length: this.size }, next);
  }

  options() {
    const query = parameters();
    const contacts = Math.round(+(query.get("n") ?? CONTACTS[this.model.model_type])) || 1;
    return { seed: Number(query.get("seed") ?? 1) || 0, draw: query.get("draw") ?? NUMBER, sheet: Number(query.get("sheet") ?? 1) || 0, contacts: Math.min(MOST_CONTACTS, Math.max(1, contacts)) };
  }

  /** The latent of the address: of `seed`, or 0 with `zero`; the coordinates in `set` replace its own. */
  fromAddress() {
    const z = parameters().has("zero") ? Array(this.size).fill(0) : this.prior(this.options().seed).next().value;
    for (const [place, value] of this.moved()) if (place < this.size && Number.isFinite(value)) z[place] = value;
    return z;
  }

  /** The coordinates that were set by hand: value by place. */
  moved() {
    return new Map((parameters().get("set") ?? "").split(",").filter(Boolean).map((pair) => pair.split(":").map(Number)));
  }

  others() {
    const latentsOfSheet = this.prior(1_000_003 + this.options().sheet);
    return Array.from({ length: this.options().contacts }, () => latentsOfSheet.next().value);
  }

  get columns() {
    const { contacts } = this.options();
    return this.hasClasses ? contacts : Math.ceil(Math.sqrt(contacts));
  }

  feeds(rows, labels) {
    const feeds = { z: latents(rows, this.size) };
    if (this.hasClasses) feeds.label = { type: "int64", data: BigInt64Array.from(labels.map(BigInt)), dims: [labels.length] };
    return feeds;
  }

  /** Order the coordinates by how much the image changes with each, the strongest first. */
  async rank() {
    const rows = [this.z];
    for (let i = 0; i < this.size; i++) rows.push(this.z.with(i, this.z[i] > 0 ? this.z[i] - 1 : this.z[i] + 1));
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

  get isOfDigits() {
    return this.names.some((name) => name.length === 1);
  }

  /** Classes of the typed number: each character is a class name. */
  wanted() {
    return [...this.options().draw].map((character) => this.names.indexOf(character)).filter((label) => label >= 0).slice(0, DIGITS);
  }

  /** The number's tiles are images of the strip, since all classes have one latent. */
  drawNumber() {
    const canvas = this.querySelector("canvas.wanted");
    if (!canvas || !this.side) return;
    copyRow(this.querySelector("canvas.classes"), canvas, this.wanted(), this.side);
    canvas.style.width = `${(WANTED_PX * canvas.width) / this.side[0]}px`;
  }

  type(text) {
    setParameters({ draw: text });
    this.update();
    queueMicrotask(() => this.drawNumber());
  }

  /** Another latent, which the address describes: its parameters are given. */
  choose(z, values, began = performance.now()) {
    this.z = z;
    setParameters(values);
    this.update();
    this.draw(began);
  }

  random() {
    const seed = Math.floor(Math.random() * 1e9);
    this.choose(this.prior(seed).next().value, { seed, set: "", zero: "" });
  }

  slide(event, place) {
    const value = +event.target.value, moved = this.moved().set(place, value);
    this.choose(this.z.with(place, value), { set: [...moved].map((pair) => pair.join(":")).join(",") }, event.timeStamp);
  }

  /** Take the latent of an image on the sheet. */
  pick(event) {
    const box = event.currentTarget.getBoundingClientRect(), others = this.others();
    const rows = this.hasClasses ? this.names.length : Math.ceil(others.length / this.columns);
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns), row = Math.floor(((event.clientY - box.top) / box.height) * rows);
    const z = others[this.hasClasses ? column : row * this.columns + column];
    if (z) this.choose([...z], { set: z.map((value, place) => `${place}:${+value.toFixed(3)}`).join(","), seed: "", zero: "" });
  }

  view() {
    if (this.error) return html`<div class="notice bad" role="alert">${this.error.message}</div>`;
    if (!this.ready) return html`<div class="empty" role="status">${this.state}</div>`;
    const wanted = this.wanted(), { draw } = this.options();
    return html`
      <div class="bar">
        ${this.isOfDigits ? html`<label>draw <input class="draw" inputmode="numeric" maxlength=${DIGITS} .value=${live(draw)} @input=${(event) => this.type(event.target.value)}></label>` : nothing}
        <button class="primary" @click=${() => this.random()}>Random</button>
        <button @click=${() => this.choose(this.z.map(() => 0), { zero: 1, seed: "", set: "" })}>Reset</button>
        <button @click=${() => savePng(this.querySelector("canvas.classes"), `${this.model.id}.png`, facts(this.model))}>Save PNG</button>
        <span class="muted took">&nbsp;</span>
      </div>
      ${this.isOfDigits ? html`<div class="strip"><canvas class="wanted pixels" data-count=${wanted.length} role="img" aria-label="The number ${wanted.map((label) => this.names[label]).join("")}"></canvas></div>` : nothing}
      <h2 class="spaced">${this.hasClasses ? "One latent, all classes" : "One latent"}</h2>
      <div class="strip"><div class="inner ${this.hasClasses ? "" : "single"}"><canvas class="classes pixels" role="img" aria-label=${this.hasClasses ? `One image of each class: ${this.names.join(", ")}` : "Image of the latent"}></canvas>
        ${this.hasClasses ? html`<ol class="names">${this.names.map((name) => html`<li>${name}</li>`)}</ol>` : nothing}</div></div>
      <h2 class="spaced">Latent, strongest first</h2>${this.sliders()}
      ${this.sheet()}
      ${asCommand(generation({ model: this.model.id, sampling: this.sampling() }, "images.png"))}`;
  }

  /** The sampling of the images in view: of the typed number, or of all classes; of a GAN, of its latent. */
  sampling() {
    const z = this.z.map((value) => +value.toFixed(3)), wanted = this.wanted();
    return this.hasClasses ? { labels: wanted.length ? wanted : "all", z } : { mode: "latent", z };
  }

  sliders() {
    const order = this.order ?? this.z.map((_, i) => i), most = this.isUniform ? 1 : 3;
    return html`<div class="sliders" data-ranked=${this.order ? "yes" : "no"}>${(this.everything ? order : order.slice(0, SLIDERS)).map((i) => html`<label data-place=${i}><span class="mono">z<sub>${i}</sub></span><input type="range" min=${-most} max=${most} step="0.01" .value=${live(String(this.z[i]))} @input=${(event) => this.slide(event, i)}></label>`)}</div>
      ${this.size > SLIDERS ? html`<button @click=${() => ((this.everything = !this.everything), this.update())}>${this.everything ? "Strongest only" : `All ${this.size}`}</button>` : nothing}`;
  }

  sheet() {
    const { contacts, sheet } = this.options();
    const again = (values) => (setParameters(values), this.update(), this.contacts());
    return html`<h2 class="spaced">${this.hasClasses ? "Other latents, a row for each class" : "Other latents"}</h2>
      <div class="bar"><button @click=${() => again({ sheet: sheet + 1 })}>Others</button><label>${this.hasClasses ? "columns" : "images"} <input class="short" type="number" name="n" min="1" max=${MOST_CONTACTS} .value=${live(String(contacts))} @change=${(event) => again({ n: event.target.value })}></label><span class="muted">A click on an image takes its latent.</span></div>
      <div class="beside"><div class="contact">${this.hasClasses ? html`<ol class="names">${this.names.map((name) => html`<li>${name}</li>`)}</ol>` : nothing}
      <canvas class="contacts pixels" data-count=${contacts * this.names.length} role="img" aria-label="Images of ${contacts} other latents" @click=${(event) => this.pick(event)}></canvas></div>
        ${this.hasClasses ? html`<m-real-rows .source=${this.model.dataset} .names=${this.names}></m-real-rows>` : nothing}</div>`;
  }
}
customElements.define("m-play-generator", GeneratorPlay);
