// Images [N, C, H, W] in [0, 1] on a canvas.
import { withText } from "./png.js";
import { save } from "./save.js";

/** Draw images as a sheet of `columns` columns, one canvas pixel for each pixel. */
export function drawSheet(canvas, { data, dims }, columns) {
  const [count, channels, height, width] = dims;
  const rows = Math.ceil(count / columns);
  canvas.width = columns * width;
  canvas.height = rows * height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const plane = height * width;
  for (let n = 0; n < count; n++) {
    const left = (n % columns) * width, top = Math.floor(n / columns) * height;
    for (let p = 0; p < plane; p++) {
      const to = 4 * ((top + Math.floor(p / width)) * canvas.width + left + (p % width));
      for (let c = 0; c < 3; c++) picture.data[to + c] = 255 * data[(n * channels + (channels === 1 ? 0 : c)) * plane + p];
      picture.data[to + 3] = 255;
    }
  }
  context.putImageData(picture, 0, 0);
}

/** Uniform random numbers in [0, 1) from a seed (mulberry32, T. Ettinger, public domain). */
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers from uniform ones (Box and Muller, 1958). */
export const normals = (uniform) => () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** Copy images of one sheet, by their places in its row, into a sheet of one row. size: [width, height] of an image. */
export function copyRow(from, to, places, [width, height]) {
  to.width = Math.max(1, places.length) * width;
  to.height = height;
  const context = to.getContext("2d");
  for (const [column, place] of places.entries()) context.drawImage(from, place * width, 0, width, height, column * width, 0, width, height);
}

/** A picture on a canvas of another size, without smoothing; returns its PNG as a Blob. */
export function enlarged(picture, width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, width, height);
  return new Promise((resolve) => canvas.toBlob(resolve));
}

/** Save a canvas as PNG, enlarged by a whole factor. facts: lines of text in the file. */
export async function savePng(canvas, name, facts, factor = 4) {
  const picture = await enlarged(canvas, canvas.width * factor, canvas.height * factor);
  save(await withText(picture, "mimeo", facts), name);
}
