// Curves drawn by uPlot: raw values faint under smoothed ones, reference lines, flags, a crosshair shared with the film.
import { columns, lastAt, placing, smooth } from "./curve-data.js";
import { figure } from "./format.js";

const STYLE = {
  loss: ["--train", []], val_loss: ["--val", [6, 4]], g_loss: ["--g", []], d_loss: ["--d", [2, 3]],
  reconstruction: ["--g", []], kl: ["--d", [6, 4]], class_accuracy: ["--ok", []],
};
const OTHER = ["--train", "--val", "--g", "--d", "--ok", "--warn"];
const CLICK_PX = 3; // a press that moves further is a zoom
const FINER_MS = 150; // after the last change of the zoom
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Events: `pick` {step} of a click, `frame-key` of an arrow key, `zoomed` {first, last} in steps. */
export class Chart extends HTMLElement {
  #plot = null; #shape = ""; #observer = null; #cursor = null; #zoom = null; #timer = 0; #place = placing("step");
  options = { curves: {}, smoothing: 0, log: false, axis: "step", stepsPerEpoch: 0, lines: [], flags: [] };

  connectedCallback() {
    this.classList.add("chart");
    this.tabIndex = 0;
    this.setAttribute("role", "img");
    this.#observer = new ResizeObserver(() => this.#plot?.setSize(this.#size()));
    this.#observer.observe(this);
    this.redraw = () => ((this.#shape = ""), this.draw());
    addEventListener("themechange", this.redraw);
    this.onkeydown = (event) => {
      if (!["ArrowLeft", "ArrowRight", "Home", "End", "Escape"].includes(event.key)) return;
      event.preventDefault();
      if (event.key === "Escape") this.unzoom();
      else this.dispatchEvent(new CustomEvent("frame-key", { detail: event.key, bubbles: true }));
    };
    this.draw();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    removeEventListener("themechange", this.redraw);
    clearTimeout(this.#timer);
    this.#plot?.destroy();
    this.#plot = null;
  }

  /** Show other options: curves, smoothing, log, axis, stepsPerEpoch, lines [{value, label}], flags [{step}]. */
  set(options) {
    if (options.axis && options.axis !== this.options.axis) this.#zoom = null;
    this.options = { ...this.options, ...options };
    if (this.isConnected) this.draw();
  }

  /** Put the crosshair at a step. */
  point(step) {
    this.#cursor = step;
    this.#placeCursor();
  }

  /** The range of the horizontal axis in view: {min, max}. */
  get view() {
    const { min, max } = this.#plot?.scales.x ?? {};
    return { min, max };
  }

  /** Show a range of the horizontal axis. */
  zoomTo(min, max) {
    this.#plot?.setScale("x", { min, max });
  }

  /** Show the whole curves. */
  unzoom() {
    const xs = this.#plot?.data[0];
    if (xs?.length) this.zoomTo(xs[0], xs[xs.length - 1]);
  }

  draw() {
    const { curves, smoothing, log, axis, stepsPerEpoch } = this.options;
    const names = Object.keys(curves);
    this.#place = placing(axis, stepsPerEpoch);
    const [xs, ...raw] = columns(Object.values(curves), this.#place);
    const data = [xs, ...raw.flatMap((column) => (smoothing ? [column, smooth(column, smoothing)] : [column]))];
    const positive = raw.every((column) => column.every((value) => value == null || value > 0));
    this.classList.toggle("smoothed", smoothing > 0);
    const shape = JSON.stringify([names, smoothing > 0, log && positive, axis]);
    this.setAttribute("aria-label", `Curves: ${names.map((name, i) => `${name} ${figure(raw[i].findLast((value) => value != null))}`).join(", ")}`);
    if (shape === this.#shape && this.#plot) {
      this.#refill(data);
    } else {
      this.#plot?.destroy();
      this.#shape = shape;
      this.#plot = new uPlot(this.#settings(names, smoothing > 0, log && positive, axis), data, this);
      if (this.#zoom) this.#plot.setScale("x", this.#zoom);
      this.#plot.over.addEventListener("click", () => this.#picked());
    }
    this.#placeCursor();
    if (xs.length && !performance.getEntriesByName("curves-painted").length) requestAnimationFrame(() => performance.mark("curves-painted"));
  }

  #refill(data) {
    const zoom = this.#zoom;
    if (!zoom) return this.#plot.setData(data);
    this.#plot.batch(() => {
      this.#plot.setData(data, false);
      this.#plot.setScale("x", zoom);
    });
  }

  #size() {
    return { width: Math.max(280, this.clientWidth), height: 280 };
  }

  #settings(names, smoothed, log, axis) {
    const lines = names.flatMap((name, i) => {
      const [variable, dash] = STYLE[name] ?? [OTHER[i % OTHER.length], []];
      const line = { label: name, stroke: colour(variable), dash, width: 2, spanGaps: true, points: { show: false }, value: (_, value) => figure(value) };
      return smoothed ? [{ ...line, label: `${name} raw`, width: 1, alpha: 0.3 }, line] : [line];
    });
    const ink = colour("--muted"), grid = { stroke: colour("--line"), width: 1 };
    const y = log ? { distr: 3 } : { range: (_, low, high) => this.#range(low, high) };
    return {
      ...this.#size(),
      scales: { x: { time: axis === "time" }, y },
      axes: [{ stroke: ink, grid, ticks: grid }, { stroke: ink, grid, ticks: grid, size: 64, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : figure(tick))) }],
      cursor: { drag: { x: true, y: false } },
      series: [{ label: axis }, ...lines],
      hooks: { setScale: [(plot, key) => key === "x" && this.#scaled(plot)], draw: [(plot) => this.#marks(plot)] },
    };
  }

  /** The vertical range: the data, and reference lines that are near it. */
  #range(low, high) {
    if (low == null || high == null) return [0, 1];
    const span = high - low || Math.abs(high) || 1;
    for (const { value } of this.options.lines)
      if (value > low - span / 2 && value < high + span / 2) [low, high] = [Math.min(low, value), Math.max(high, value)];
    return uPlot.rangeNum(low, high, 0.1, true);
  }

  /** Remember the zoom, and report its range in steps once it rests. */
  #scaled(plot) {
    const xs = plot.data[0], { min, max } = plot.scales.x;
    if (!xs.length || min == null) return;
    const whole = min <= xs[0] && max >= xs[xs.length - 1];
    if (whole) return void ((this.#zoom = null), clearTimeout(this.#timer));
    if (this.#zoom?.min === min && this.#zoom.max === max) return;
    this.#zoom = { min, max };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const points = this.#points();
      const [first, last] = [min, max].map((x) => points[lastAt(points, this.#place, x)].step);
      this.dispatchEvent(new CustomEvent("zoomed", { detail: { first, last: points[lastAt(points, (point) => point.step, last) + 1]?.step ?? last }, bubbles: true }));
    }, FINER_MS);
  }

  /** Reference lines and flags, over the curves. */
  #marks(plot) {
    const { ctx, bbox } = plot, scale = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * scale}px system-ui, sans-serif`;
    ctx.fillStyle = ctx.strokeStyle = colour("--muted");
    ctx.setLineDash([2 * scale, 4 * scale]);
    for (const { value, label } of this.options.lines) {
      const top = plot.valToPos(value, "y", true);
      if (top < bbox.top || top > bbox.top + bbox.height) continue;
      ctx.beginPath();
      ctx.moveTo(bbox.left, top);
      ctx.lineTo(bbox.left + bbox.width, top);
      ctx.stroke();
      ctx.textAlign = "right";
      ctx.fillText(label, bbox.left + bbox.width - 4 * scale, top - 4 * scale);
    }
    ctx.fillStyle = colour("--warn");
    ctx.textAlign = "center";
    for (const { step } of this.options.flags) {
      const left = plot.valToPos(this.#xOf(step), "x", true);
      if (left >= bbox.left && left <= bbox.left + bbox.width) ctx.fillText("⚑", left, bbox.top + bbox.height - 4 * scale);
    }
    ctx.restore();
  }

  /** The points of the longest curve. */
  #points() {
    return Object.values(this.options.curves).reduce((longest, points) => (points.length > longest.length ? points : longest), []);
  }

  #xOf(step) {
    const { axis, stepsPerEpoch } = this.options;
    if (axis !== "time") return this.#place({ step, stepsPerEpoch });
    const points = this.#points();
    return points.length ? points[lastAt(points, (point) => point.step, step)].at : NaN;
  }

  #picked() {
    const { left } = this.#plot.cursor, points = this.#points();
    if (!points.length || this.#plot.select.width > CLICK_PX) return;
    const { step } = points[lastAt(points, this.#place, this.#plot.posToVal(left, "x"))];
    this.dispatchEvent(new CustomEvent("pick", { detail: { step }, bubbles: true }));
  }

  #placeCursor() {
    if (!this.#plot || this.#cursor == null) return;
    const left = this.#plot.valToPos(this.#xOf(this.#cursor), "x");
    if (Number.isFinite(left)) this.#plot.setCursor({ left, top: this.#plot.bbox.height / 2 / devicePixelRatio }, false);
  }
}
customElements.define("m-chart", Chart);
