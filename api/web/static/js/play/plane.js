// The visible part of a plane of two latent dimensions, as kept in the address of the page.
import { parameters } from "../address.js";

export const DEFAULTS = { points: 20, start: -4, end: 4 };
const round = (value) => +value.toPrecision(6);

export class Plane {
  /** size: dimensions of the latent. From the address: points on a side, range [start, end], centre (x, y) beside the range's middle, dimensions (dx, dy). */
  constructor(size) {
    const query = parameters();
    const number = (name, fallback) => {
      const value = Number(query.get(name) ?? fallback);
      return Number.isFinite(value) ? value : fallback;
    };
    const whole = (name, fallback, low, high) => Math.min(high, Math.max(low, Math.round(number(name, fallback))));
    this.points = whole("points", DEFAULTS.points, 1, 40);
    this.dims = [whole("dx", 0, 0, size - 1), whole("dy", Math.min(1, size - 1), 0, size - 1)];
    this.start = number("start", DEFAULTS.start);
    this.end = number("end", DEFAULTS.end);
    if (this.end <= this.start) this.end = this.start + 1;
    this.shift = [number("x", 0), number("y", 0)];
  }

  get span() {
    return this.end - this.start;
  }

  /** Coordinates of the images along an axis, 0 or 1, growing. */
  axis(which) {
    const { points, start, end, span } = this, shift = this.shift[which];
    return Array.from({ length: points }, (_, i) => shift + (points === 1 ? (start + end) / 2 : start + (span * i) / (points - 1)));
  }

  /** Edges of the drawn square along an axis: half an image beyond the centres of the outer ones. */
  edges(which) {
    const half = this.points > 1 ? this.span / (this.points - 1) / 2 : this.span / 2, shift = this.shift[which];
    return this.points > 1 ? [this.start - half + shift, this.end + half + shift] : [this.start + shift, this.end + shift];
  }

  /** Coordinates at a place of the square; u, v: from 0 to 1, to the right and downwards. */
  at(u, v) {
    const [left, right] = this.edges(0), [bottom, top] = this.edges(1);
    return [left + (right - left) * u, top - (top - bottom) * v];
  }

  /** The place of a latent in the square, [u, v]. */
  place(z) {
    const [left, right] = this.edges(0), [bottom, top] = this.edges(1);
    return [(z[this.dims[0]] - left) / (right - left), (top - z[this.dims[1]]) / (top - bottom)];
  }

  /** A latent with its coordinates in the plane replaced. */
  latent(z, [x, y]) {
    const moved = [...z];
    if (this.dims[1] !== this.dims[0]) moved[this.dims[1]] = y;
    moved[this.dims[0]] = x;
    return moved;
  }

  /** Latents of all images, row by row from the top. */
  latents(z) {
    const xs = this.axis(0), ys = this.axis(1).reverse();
    return ys.flatMap((y) => xs.map((x) => this.latent(z, [x, y])));
  }

  /** Parameters after a shift by parts of the square's sides. */
  moved(u, v) {
    const [left, right] = this.edges(0), [bottom, top] = this.edges(1);
    return { x: round(this.shift[0] + u * (right - left)) || "", y: round(this.shift[1] - v * (top - bottom)) || "" };
  }

  /** Parameters after a zoom by `factor` (below 1: closer) that keeps the coordinates of one place. */
  zoomed(factor, [x, y]) {
    const middle = (this.start + this.end) / 2, half = (this.span / 2) * factor;
    const centre = (which, kept) => kept - (kept - middle - this.shift[which]) * factor - middle;
    return { start: round(middle - half), end: round(middle + half), x: round(centre(0, x)) || "", y: round(centre(1, y)) || "" };
  }
}
