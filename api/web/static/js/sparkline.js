// A small curve beside a job in a list, drawn from the metrics that its reports carry.
import { html } from "./lib.js";
import { get } from "./api.js";

const MOST = 60; // points of one curve
const [WIDTH, HEIGHT] = [96, 28];
const USUAL = ["loss", "g_loss", "d_loss"];
const NOT_CURVES = ["learning_rate", "examples_per_s"];

const nameOf = (metrics) => USUAL.find((name) => metrics[name] != null) ?? Object.keys(metrics).find((name) => !NOT_CURVES.includes(name));

/** Short histories of jobs, by id. */
export class Sparklines {
  #curves = new Map();
  #asked = new Set();

  /** Add the latest values of a job. */
  add(job) {
    const name = nameOf(job.metrics);
    if (!name || !Number.isFinite(job.metrics[name])) return;
    const curve = this.#curves.get(job.id) ?? [];
    if (curve.length && curve.at(-1)[0] >= job.progress.step) return;
    curve.push([job.progress.step, job.metrics[name]]);
    if (curve.length > MOST) curve.splice(1, 1);
    this.#curves.set(job.id, curve);
  }

  /** Read the earlier points of jobs once, one job after another. */
  async read(jobs, changed) {
    for (const job of jobs) {
      const name = nameOf(job.metrics);
      if (!name || this.#asked.has(job.id)) continue;
      this.#asked.add(job.id);
      try {
        const [curve] = (await get(`/v1/training-jobs/${job.id}/metrics?name=${name}&max_points=${MOST}`)).data;
        const last = this.#curves.get(job.id) ?? [];
        const points = (curve?.points ?? []).filter((point) => point.value != null).map((point) => [point.step, point.value]);
        this.#curves.set(job.id, [...points, ...last.filter(([step]) => step > (points.at(-1)?.[0] ?? -1))]);
      } catch {
        this.#asked.delete(job.id); // read again with the next change of the list
        return;
      }
      changed();
    }
  }

  view(job) {
    const curve = this.#curves.get(job.id) ?? [];
    return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" aria-hidden="true"><polyline points=${points(curve)}></polyline></svg>`;
  }
}

function points(curve) {
  if (curve.length < 2) return "";
  const [steps, values] = [0, 1].map((part) => curve.map((point) => point[part]));
  const [left, right] = [Math.min(...steps), Math.max(...steps)];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (step) => ((WIDTH - 2) * (step - left)) / (right - left || 1) + 1;
  const y = (value) => HEIGHT - 2 - ((HEIGHT - 4) * (value - low)) / (high - low || 1);
  return curve.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
}
