// A pad to draw a grey image of the model's size on. White on black, as in the data.
import { html } from "../lib.js";
import { View } from "../element.js";

const BRUSH = 1 / 11; // of the side: a stroke as wide as those of handwritten digits

/** Properties: width, height in pixels. Event `drawn` with the image as numbers from 0 to 1, row by row. */
export class Pad extends View {
  #last = null;

  get #context() {
    return this.querySelector("canvas").getContext("2d", { willReadFrequently: true });
  }

  rendered() {
    if (this.isBlank === undefined) this.#blank();
  }

  #blank() {
    this.#context.fillRect(0, 0, this.width, this.height);
    this.isBlank = true;
  }

  /** The place of a pointer, in pixels of the image. */
  #place(event) {
    const box = event.target.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * this.width, ((event.clientY - box.top) / box.height) * this.height];
  }

  #stroke(event, from) {
    const context = this.#context, to = this.#place(event);
    Object.assign(context, { lineWidth: this.width * BRUSH, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    context.beginPath();
    context.moveTo(...(from ?? to));
    context.lineTo(...to);
    context.stroke();
    this.#last = to;
    this.isBlank = false;
    const { data } = context.getImageData(0, 0, this.width, this.height);
    const image = Float32Array.from({ length: this.width * this.height }, (_, pixel) => data[4 * pixel] / 255);
    this.dispatchEvent(new CustomEvent("drawn", { detail: image }));
  }

  view() {
    return html`<canvas class="pad pixels" width=${this.width} height=${this.height} role="img" aria-label="Drawing pad"
      @pointerdown=${(event) => (event.target.setPointerCapture(event.pointerId), this.#stroke(event, null))}
      @pointermove=${(event) => event.buttons && this.#last && this.#stroke(event, this.#last)}
      @pointerup=${() => (this.#last = null)} @pointercancel=${() => (this.#last = null)}></canvas>
      <div class="bar"><button @click=${() => this.#blank()}>Clear</button></div>`;
  }
}
customElements.define("m-pad", Pad);
