// The playground of a VAE: a plane of two latent dimensions, the image under the pointer, test images as dots, a morph of two points.
import { html, svg, nothing, live } from "../lib.js";
import { View } from "../element.js";
import { parameters, setParameters } from "../address.js";
import { Graphs, latents, measured, newestOnly } from "../inference.js";
import { drawSheet, savePng } from "../pixels.js";
import { figure } from "../format.js";
import { DEFAULTS, Plane } from "./plane.js";
import { COLOURS, cloud, nearest } from "./cloud.js";
import { drawOverlay } from "./overlay.js";
import { asCommand, generation } from "../command.js";
import "./pad.js";
import { facts as factsOf } from "./saved-view.js";

const DRAG_PX = 4; // a press that moves less is a click
const MORPH_MS = 2000; // from A to B
const SHOWN = 8; // coordinates

class VaePlay extends View {
  cloud = null;
  facts = null; // of the encoder, once the pad is open
  ready = false;
  share = 0; // of the way from A to B
  state = "Preparing the model for this browser …";
  drag = null;

  start() {
    this.size = this.model.hyperparameters.latent_size;
    this.point = this.latentAt("z") ?? Array(this.size).fill(0);
    this.graphs = new Graphs(this.model.id, (state) => ((this.state = state), this.update()));
    const failed = (error) => ((this.error = error), this.update());
    this.decode = newestOnly(async ({ z, began }) => {
      const { images } = await this.graphs.run("decoder", { z: latents([z], this.size) });
      drawSheet(this.querySelector("canvas.one"), images, 1);
      this.dataset.drawn = z.join(",");
      measured(began);
      this.querySelector(".took").textContent = `${(performance.now() - began).toFixed(0)} ms in this browser`;
    }, failed);
    this.redraw = newestOnly(async () => {
      const plane = new Plane(this.size);
      const { images } = await this.graphs.run("decoder", { z: latents(plane.latents(this.point), this.size) });
      const canvas = this.querySelector("canvas.plane");
      drawSheet(canvas, images, plane.points);
      canvas.style.transform = "";
      canvas.dataset.drawn = location.search;
    }, failed);
    this.encode = newestOnly(async (image) => {
      const { image_shape: shape } = this.facts;
      const { mean } = await this.graphs.run("encoder", { images: { type: "float32", data: image, dims: [1, ...shape] } });
      this.move([...mean.data], { save: true });
    }, failed);
    this.graphs.load("decoder").then(() => ((this.ready = true), this.update(), this.draw()), failed);
    new ResizeObserver(() => this.update()).observe(this);
  }

  /** A latent in the address; null if it is absent or has another size. */
  latentAt(name) {
    const given = (parameters().get(name) ?? "").split(",").map(Number);
    return given.length === this.size && parameters().get(name) && given.every(Number.isFinite) ? given : null;
  }

  keep(name, z) {
    setParameters({ [name]: z ? z.map((value) => +value.toFixed(3)).join(",") : "" });
    this.update();
  }

  choose(values) {
    setParameters(values);
    this.update();
    this.draw();
  }

  draw() {
    if (!this.ready) return;
    this.redraw();
    this.decode({ z: this.point, began: performance.now() });
  }

  move(z, { began = performance.now(), save = false } = {}) {
    this.point = z;
    if (this.ready) this.decode({ z, began });
    if (save) this.keep("z", z);
    this.update();
  }

  /** The place of a pointer in the square, [u, v] from 0 to 1. */
  placeOf(event) {
    const box = this.querySelector(".square").getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  pressed(event) {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    this.drag = { from: this.placeOf(event), x: event.clientX, y: event.clientY, moves: false };
  }

  pointed(event) {
    const [u, v] = this.placeOf(event);
    // A finger has no other way to point: it moves the point. A mouse that is pressed moves the plane.
    if (!this.drag || event.pointerType === "touch") return this.move(this.plane.latent(this.point, this.plane.at(u, v)), { began: event.timeStamp });
    const dx = event.clientX - this.drag.x, dy = event.clientY - this.drag.y;
    this.drag.moves ||= Math.hypot(dx, dy) > DRAG_PX;
    if (this.drag.moves) this.querySelector("canvas.plane").style.transform = `translate(${dx}px, ${dy}px)`;
  }

  released(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag) return;
    const [u, v] = this.placeOf(event);
    if (drag.moves) this.choose(this.plane.moved(drag.from[0] - u, drag.from[1] - v));
    else this.move(this.plane.latent(this.point, this.plane.at(u, v)), { save: true });
  }

  key(event) {
    const step = this.plane.span / (event.shiftKey ? 8 : 40);
    const [across, up] = this.plane.dims;
    const moves = { ArrowRight: [across, step], ArrowLeft: [across, -step], ArrowUp: [up, step], ArrowDown: [up, -step] };
    if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.8 : 1.25);
    else if (event.key in moves) {
      const [dimension, change] = moves[event.key];
      this.move(this.point.with(dimension, this.point[dimension] + change), { save: true });
      const [u, v] = this.plane.place(this.point);
      if (u < 0 || u > 1 || v < 0 || v > 1) this.choose(this.plane.moved(u < 0 || u > 1 ? u - 0.5 : 0, v < 0 || v > 1 ? v - 0.5 : 0));
    } else return;
    event.preventDefault();
  }

  zoom(factor, at = null) {
    this.choose(this.plane.zoomed(factor, at ?? this.plane.at(0.5, 0.5)));
  }

  morph(share) {
    const a = this.latentAt("a"), b = this.latentAt("b");
    this.share = share;
    this.move(a.map((value, i) => value + (b[i] - value) * share));
  }

  /** Walk from A to B and back until it is stopped. */
  walk() {
    this.walking = !this.walking;
    this.update();
    const began = performance.now() - this.share * MORPH_MS;
    const step = (now) => {
      if (!this.walking || !this.isConnected || !this.latentAt("a") || !this.latentAt("b")) return;
      const turns = Math.max(0, now - began) / MORPH_MS;
      this.morph(turns % 2 < 1 ? turns % 1 : 1 - (turns % 1));
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }

  /** Prepare the pad when it is opened for the first time. */
  async openPad() {
    if (this.facts) return;
    try {
      const { metadata } = await this.graphs.load("encoder");
      this.facts = { image_shape: JSON.parse(metadata.image_shape) };
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  async showCloud(isShown) {
    setParameters({ dots: isShown ? "1" : "" });
    this.cloudState = null;
    this.update();
    if (!isShown || this.cloud) return;
    this.cloudState = "Encoding test images …";
    try {
      this.cloud = await cloud(this.model.id);
      this.cloudState = null;
    } catch (error) {
      this.cloudState = error.message;
    }
    this.update();
  }

  rendered() {
    if (this.dotsWanted && !this.cloud && this.cloudState === undefined) this.showCloud(true);
    drawOverlay(this.querySelector("canvas.over"), this.plane, { dots: this.dotsWanted && this.cloud ? this.cloud.dots : [], point: this.point, a: this.latentAt("a"), b: this.latentAt("b") });
  }

  get dotsWanted() {
    return parameters().has("dots");
  }

  number(label, name, value, { min = nothing, max = nothing, step = "any" } = {}) {
    return html`<label>${label} <input type="number" class="short" name=${name} .value=${live(String(value))} min=${min} max=${max} step=${step} @change=${(event) => this.choose({ [name]: event.target.value })}></label>`;
  }

  view() {
    this.plane = new Plane(this.size);
    const { points, dims, start, end } = this.plane;
    const last = { min: 0, max: this.size - 1, step: 1 };
    return html`
      ${this.error ? html`<div class="notice bad" role="alert">${this.error.message}</div>` : nothing}
      <div class="bar">
        ${this.number("points", "points", points, { min: 1, max: 40, step: 1 })} ${this.number("from", "start", start)} ${this.number("to", "end", end)}
        ${this.size > 2 ? html`${this.number("across", "dx", dims[0], last)} ${this.number("up", "dy", dims[1], last)}` : nothing}
        <button aria-label="Zoom in" @click=${() => this.zoom(0.8)}>+</button><button aria-label="Zoom out" @click=${() => this.zoom(1.25)}>−</button>
        <button @click=${() => this.choose({ ...Object.fromEntries(Object.keys(DEFAULTS).map((name) => [name, ""])), x: "", y: "" })}>Reset</button>
        <label><input type="checkbox" name="dots" .checked=${live(this.dotsWanted)} @change=${(event) => this.showCloud(event.target.checked)}> test images</label>
        <button @click=${() => savePng(this.querySelector("canvas.plane"), `${this.model.id}-plane.png`, factsOf(this.model), 2)}>Save PNG</button>
      </div>
      <div class="play">
        <div><div class="square" tabindex="0" role="application" aria-label="Latent plane. Arrow keys move the point, plus and minus zoom."
          @pointerdown=${(event) => this.pressed(event)} @pointermove=${(event) => this.pointed(event)} @pointerup=${(event) => this.released(event)} @pointercancel=${() => (this.drag = null)}
          @keydown=${(event) => this.key(event)} @wheel=${(event) => (event.preventDefault(), this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.plane.at(...this.placeOf(event))))}>
            <canvas class="plane pixels ${this.dotsWanted ? "dim" : ""}" width="560" height="560"></canvas><canvas class="over" data-dots=${this.dotsWanted && this.cloud ? this.cloud.dots.length : 0}></canvas>
            ${this.ready || this.error ? nothing : html`<p class="waiting" role="status">${this.state}</p>`}</div>
          <p class="muted hint" role="status">${this.ready || this.error ? (this.cloudState ?? "Move over the plane; drag it; turn the wheel to zoom. A click keeps the point in the page's address.") : nothing}</p>
          ${this.dotsWanted && this.cloud ? html`<p class="legend">${this.cloud.names.map((name, label) => html`<span><svg width="12" height="12" aria-hidden="true">${svg`<circle cx="6" cy="6" r="5" fill=${COLOURS[label % COLOURS.length]} stroke="#000"></circle>`}</svg> ${name}</span>`)}</p>` : nothing}</div>
        <div class="aside">${this.aside()}</div>
      </div>`;
  }

  aside() {
    const a = this.latentAt("a"), b = this.latentAt("b");
    const near = this.dotsWanted && this.cloud ? nearest(this.cloud.dots, this.point) : null;
    const mark = (name, has) => html`<button aria-pressed=${String(Boolean(has))} @click=${() => this.keep(name, this.point)}>Mark ${name.toUpperCase()}</button>`;
    return html`<canvas class="one pixels" width="28" height="28" role="img" aria-label="Image at the point"></canvas>
      <p class="mono point">${this.point.slice(0, SHOWN).map((value, i) => html`z<sub>${i}</sub> ${figure(+value.toFixed(2))} `)}${this.size > SHOWN ? "…" : nothing}</p>
      <p class="muted"><span class="took">&nbsp;</span>${near ? html` · nearest test image: <strong class="near">${this.cloud.names[near.label]}</strong>` : nothing}</p>
      <div class="bar">${mark("a", a)}${mark("b", b)}<button class="morph" ?disabled=${!(a && b)} @click=${() => this.walk()}>${this.walking ? "Stop" : "Morph"}</button></div>
      <label class="walk">A → B <input type="range" min="0" max="1" step="0.01" ?disabled=${!(a && b)} .value=${live(String(this.share))} @input=${(event) => ((this.walking = false), this.morph(+event.target.value))}></label>
      ${asCommand(generation({ model: this.model.id, sampling: { mode: "grid", points: this.plane.points, start: this.plane.start, end: this.plane.end, ...(this.size > 1 && { dims: this.plane.dims }) } }, "plane.png"))}
      <details class="draw" @toggle=${(event) => event.target.open && this.openPad()}><summary>Draw your own</summary>${this.pad()}</details>`;
  }

  pad() {
    if (!this.facts) return html`<p class="muted">Reading the encoder …</p>`;
    const [channels, height, width] = this.facts.image_shape;
    if (channels !== 1) return html`<p class="muted">Only models of grey images have a pad.</p>`;
    return html`<p class="muted">The encoder finds the latent of your drawing; the image above is what the decoder makes of it.</p>
      <m-pad .width=${width} .height=${height} @drawn=${(event) => this.encode(event.detail)}></m-pad>`;
  }
}
customElements.define("m-play-vae", VaePlay);
