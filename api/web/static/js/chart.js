// Curves of a job, drawn by uPlot: raw values faint under smoothed ones, a crosshair shared with the film.
import { figure } from "./format.js";

const STYLE = {
  loss: ["--train", []], val_loss: ["--val", [6, 4]], g_loss: ["--g", []], d_loss: ["--d", [2, 3]],
  reconstruction: ["--g", []], kl: ["--d", [6, 4]], class_accuracy: ["--ok", []],
};
const OTHER = ["--train", "--val", "--g", "--d", "--ok", "--warn"];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Exponential moving average; weight 0 returns the values. Gaps stay gaps. */
export function smooth(values, weight) {
  if (!weight) return values;
  let mean = null, norm = 0;
  return values.map((value) => {
    if (value == null) return null;
    mean = (mean ?? 0) * weight + (1 - weight) * value;
    norm = norm * weight + (1 - weight);
    return mean / norm;
  });
}

/** Columns for uPlot from curves {name: [{step, epoch, at, value}]}: one x for all names, null where a curve has no point. */
export function columns(curves, axis) {
  const place = (point) => (axis === "time" ? point.at : axis === "epoch" ? point.epochs ?? point.step : point.step);
  const xs = [...new Set(Object.values(curves).flatMap((points) => points.map(place)))].sort((a, b) => a - b);
  const index = new Map(xs.map((x, i) => [x, i]));
  const series = Object.values(curves).map((points) => {
    const column = new Array(xs.length).fill(null);
    for (const point of points) column[index.get(place(point))] = point.value;
    return column;
  });
  return [xs, ...series];
}

export class Chart extends HTMLElement {
  #plot = null; #shape = ""; #observer = null; #cursor = null;
  options = { curves: {}, smoothing: 0, log: false, axis: "step", lines: [] };

  connectedCallback() {
    this.classList.add("chart");
    this.tabIndex = 0;
    this.setAttribute("role", "img");
    this.#observer = new ResizeObserver(() => this.#plot?.setSize(this.#size()));
    this.#observer.observe(this);
    this.redraw = () => ((this.#shape = ""), this.draw());
    addEventListener("themechange", this.redraw);
    this.draw();
  }

  disconnectedCallback() {
    this.#observer.disconnect();
    removeEventListener("themechange", this.redraw);
    this.#plot?.destroy();
    this.#plot = null;
  }

  /** Show other options: curves, smoothing, log, axis. */
  set(options) {
    this.options = { ...this.options, ...options };
    if (this.isConnected) this.draw();
  }

  /** Put the crosshair at a step. */
  point(step) {
    this.#cursor = step;
    this.#place();
  }

  draw() {
    const { curves, smoothing, log, axis } = this.options;
    const names = Object.keys(curves);
    const [xs, ...raw] = columns(curves, axis);
    const data = [xs, ...raw.flatMap((column) => (smoothing ? [column, smooth(column, smoothing)] : [column]))];
    const positive = raw.every((column) => column.every((value) => value == null || value > 0));
    const shape = JSON.stringify([names, smoothing > 0, log && positive, axis]);
    this.setAttribute("aria-label", `Curves: ${names.map((name, i) => `${name} ${figure(raw[i].findLast((value) => value != null))}`).join(", ")}`);
    if (shape === this.#shape && this.#plot) {
      this.#plot.setData(data);
    } else {
      this.#plot?.destroy();
      this.#shape = shape;
      this.#plot = new uPlot(this.#settings(names, smoothing > 0, log && positive, axis), data, this);
    }
    this.#place();
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
    return {
      ...this.#size(),
      scales: { x: { time: axis === "time" }, y: { distr: log ? 3 : 1 } },
      axes: [{ stroke: ink, grid, ticks: grid }, { stroke: ink, grid, ticks: grid, size: 64, values: (_, ticks) => ticks.map((tick) => (tick == null ? "" : figure(tick))) }],
      cursor: { drag: { x: true, y: false } },
      series: [{ label: axis }, ...lines],
    };
  }

  #place() {
    if (this.#plot && this.#cursor != null && this.options.axis === "step") {
      const left = this.#plot.valToPos(this.#cursor, "x");
      if (Number.isFinite(left)) this.#plot.setCursor({ left, top: this.#plot.bbox.height / 2 / devicePixelRatio }, false);
    }
  }
}
customElements.define("m-chart", Chart);
