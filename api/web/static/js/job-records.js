// What a page knows of one job: points, samples and history, each kept once however often it arrives.
import { all, get } from "./api.js";

const MOST_POINTS = 2000; // of one curve, in one answer

export class Records {
  curves = {}; // name → Map(step → point)
  samples = new Map(); // name → artifact
  history = [];
  #path;

  constructor(path) {
    this.#path = path;
  }

  /** Read everything. replace: forget points that the server does not have, such as those of a lost attempt. */
  async read({ replace = false } = {}) {
    const [curves, samples, history] = await Promise.all([
      get(`${this.#path}/metrics?max_points=${MOST_POINTS}`),
      all(`${this.#path}/samples?limit=1000`),
      all(`${this.#path}/events?limit=1000`),
    ]);
    performance.mark("curves-data");
    if (replace) this.curves = {};
    this.#addCurves(curves);
    this.addSamples(samples);
    this.addHistory(history);
  }

  /** Read the points from one step to another, which a whole curve leaves out. */
  async refine(first, last) {
    this.#addCurves(await get(`${this.#path}/metrics?max_points=${MOST_POINTS}&from_step=${first}&to_step=${last}`));
  }

  #addCurves({ data }) {
    for (const { name, points } of data) this.addPoints(points.map((point) => ({ ...point, name, at: Date.parse(point.at) / 1000 })));
  }

  addPoints(points) {
    for (const point of points) (this.curves[point.name] ??= new Map()).set(point.step, point);
  }

  addSamples(samples) {
    for (const sample of samples) this.samples.set(sample.name, sample);
  }

  addHistory(events) {
    const known = new Map(this.history.map((event) => [event.id, event]));
    for (const event of events) known.set(event.id, event);
    this.history = [...known.values()].sort((a, b) => a.id - b.id);
  }

  /** Curves by name, their points by rising step. */
  shown(names) {
    return Object.fromEntries(names.map((name) => [name, [...this.curves[name].values()].sort((a, b) => a.step - b.step)]));
  }

  /** Warnings of health checks at a step. */
  alarms() {
    return this.history.filter((event) => event.data?.hint && event.data.step != null);
  }
}
