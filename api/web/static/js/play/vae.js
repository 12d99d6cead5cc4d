// The playground of a VAE: the plane of two latent dimensions, the image under the pointer, a walk between two points.
import { html, nothing } from "../lib.js";
import { View } from "../element.js";
import { parameters, setParameters } from "../address.js";
import { Graphs, latents, newestOnly } from "../inference.js";
import { drawSheet, savePng } from "../pixels.js";
import { figure } from "../format.js";

const SIDE = 480;

class VaePlay extends View {
  marks = { a: null, b: null };
  error = null;
  ready = false;
  position = 0;

  start() {
    this.size = this.model.hyperparameters.latent_size;
    this.graphs = new Graphs(this.model.id);
    this.point = this.fromAddress();
    this.decode = newestOnly(async (z) => {
      const began = performance.now();
      const { images } = await this.graphs.run("decoder", { z: latents([z], this.size) });
      drawSheet(this.querySelector("canvas.one"), images, 1);
      this.took = performance.now() - began;
      this.querySelector(".took").textContent = `${this.took.toFixed(0)} ms in this browser`;
    });
    this.redraw = newestOnly(async () => {
      const { points, dims, start, end } = this.options();
      const axis = Array.from({ length: points }, (_, i) => (points === 1 ? (start + end) / 2 : start + ((end - start) * i) / (points - 1)));
      const rows = [...axis].reverse().flatMap((y) => axis.map((x) => this.latent(x, y, dims)));
      const { images } = await this.graphs.run("decoder", { z: latents(rows, this.size) });
      drawSheet(this.querySelector("canvas.plane"), images, points);
    });
    this.graphs.load("decoder").then(() => ((this.ready = true), this.update(), this.draw()), (error) => ((this.error = error), this.update()));
  }

  fromAddress() {
    const given = (parameters().get("z") ?? "").split(",").map(Number);
    return Array.from({ length: this.size }, (_, i) => (Number.isFinite(given[i]) ? given[i] : 0));
  }

  options() {
    const query = parameters();
    const whole = (name, fallback, low, high) => Math.min(high, Math.max(low, Math.round(query.get(name) ?? fallback) || 0));
    const start = Number(query.get("start") ?? -4), end = Number(query.get("end") ?? 4);
    return { points: whole("points", 20, 1, 40), dims: [whole("dx", 0, 0, this.size - 1), whole("dy", Math.min(1, this.size - 1), 0, this.size - 1)], start: Number.isFinite(start) ? start : -4, end: Number.isFinite(end) && end !== start ? end : start + 1 };
  }

  /** The current point with two of its coordinates replaced. */
  latent(x, y, dims) {
    const z = [...this.point];
    z[dims[0]] = x;
    if (dims[1] !== dims[0]) z[dims[1]] = y;
    return z;
  }

  choose(values) {
    setParameters(values);
    this.update();
    this.draw();
  }

  draw() {
    if (this.ready) {
      this.redraw();
      this.decode(this.point);
    }
  }

  move(z, { save = false } = {}) {
    this.point = z;
    if (this.ready) this.decode(z);
    if (save) setParameters({ z: z.map((value) => +value.toFixed(3)).join(",") });
    this.update();
  }

  pointed(event, save = false) {
    const box = event.currentTarget.getBoundingClientRect();
    const { dims, start, end, points } = this.options();
    // The centre of the first image is `start`, that of the last one `end`.
    const half = points > 1 ? (end - start) / (points - 1) / 2 : (end - start) / 2;
    const x = start - half + (end - start + 2 * half) * ((event.clientX - box.left) / box.width);
    const y = end + half - (end - start + 2 * half) * ((event.clientY - box.top) / box.height);
    this.move(this.latent(x, y, dims), { save });
  }

  key(event) {
    const { dims, start, end } = this.options();
    const step = (end - start) / (event.shiftKey ? 8 : 40);
    const moves = { ArrowRight: [dims[0], step], ArrowLeft: [dims[0], -step], ArrowUp: [dims[1], step], ArrowDown: [dims[1], -step] };
    const found = moves[event.key];
    if (!found) return;
    event.preventDefault();
    const z = [...this.point];
    z[found[0]] += found[1];
    this.move(z, { save: true });
  }

  zoom(event) {
    event.preventDefault();
    const { start, end, dims } = this.options();
    const factor = event.deltaY > 0 ? 1.25 : 0.8, middle = (this.point[dims[0]] + this.point[dims[1]]) / 2;
    const centre = event.deltaY > 0 ? (start + end) / 2 : middle, half = ((end - start) / 2) * factor;
    this.choose({ start: +(centre - half).toFixed(3), end: +(centre + half).toFixed(3) });
  }

  walk(position) {
    this.position = position;
    const { a, b } = this.marks;
    this.move(a.map((value, i) => value + (b[i] - value) * position));
  }

  view() {
    const { points, dims, start, end } = this.options();
    const { a, b } = this.marks;
    const number = (name, value, attributes = {}) => html`<label>${name} <input type="number" class="short" name=${name} .value=${String(value)} min=${attributes.min ?? nothing} max=${attributes.max ?? nothing} step=${attributes.step ?? "any"} @change=${(event) => this.choose({ [attributes.key ?? name]: event.target.value })}></label>`;
    return html`
      ${this.error ? html`<div class="notice bad" role="alert">${this.error.message}</div>` : nothing}
      <div class="bar">
        ${number("points", points, { min: 1, max: 40, step: 1 })} ${number("from", start, { key: "start" })} ${number("to", end, { key: "end" })}
        ${this.size > 2 ? html`${number("across", dims[0], { key: "dx", min: 0, max: this.size - 1, step: 1 })} ${number("up", dims[1], { key: "dy", min: 0, max: this.size - 1, step: 1 })}` : nothing}
        <button @click=${() => this.choose({ start: "", end: "", points: "" })}>Reset</button>
        <button @click=${() => savePng(this.querySelector("canvas.plane"), `${this.model.id}-plane.png`, 2)}>Save PNG</button>
      </div>
      <div class="play">
        <div><canvas class="plane pixels" width=${SIDE} height=${SIDE} tabindex="0" role="img" aria-label="Images of the latent plane; arrow keys move the point"
          @pointermove=${(event) => this.pointed(event)} @click=${(event) => this.pointed(event, true)} @keydown=${(event) => this.key(event)} @wheel=${(event) => this.zoom(event)}></canvas>
          ${this.ready || this.error ? nothing : html`<p class="muted">Preparing the model for this browser …</p>`}</div>
        <div><canvas class="one pixels" width="28" height="28" role="img" aria-label="Image at the point"></canvas>
          <p class="mono point">${this.point.slice(0, 8).map((value, i) => html`z<sub>${i}</sub> ${figure(+value.toFixed(2))} `)}</p><p class="muted took">&nbsp;</p>
          <div class="bar"><button @click=${() => ((this.marks = { ...this.marks, a: [...this.point] }), this.update())}>Mark A</button><button @click=${() => ((this.marks = { ...this.marks, b: [...this.point] }), this.update())}>Mark B</button></div>
          <label class="walk">A → B <input type="range" min="0" max="1" step="0.01" ?disabled=${!(a && b)} .value=${String(this.position)} @input=${(event) => this.walk(+event.target.value)}></label>
          <p class="muted">Move over the plane. A click keeps the point in the page's address.</p></div>
      </div>`;
  }
}
customElements.define("m-play-vae", VaePlay);
