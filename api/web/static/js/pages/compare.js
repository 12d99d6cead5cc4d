// Two to six training jobs side by side: curves, differing settings, quality, samples on one slider.
import { errorPanel } from "../shell.js";
import { html, nothing } from "../lib.js";
import { BASE, parameters, setParameters } from "../address.js";
import { View, mount } from "../element.js";
import { all, get, Offline } from "../api.js";
import { figure, titleOf } from "../format.js";
import { setting, statusOf } from "../status.js";
import { overview } from "../stream.js";
import "../chart.js";
import "../exercises.js";
import { keepEpoch, wantedEpoch } from "../film.js";

const MOST = 6;
const READ_AGAIN_MS = 1000; // at most so often for each run that goes on

/** A job with its curves, samples and model. */
async function read(id) {
  const [job, curves, samples] = await Promise.all([get(`/v1/training-jobs/${id}`), get(`/v1/training-jobs/${id}/metrics?max_points=1000`), all(`/v1/training-jobs/${id}/samples?limit=1000`)]);
  const model = job.model ? await get(`/v1/models/${job.model}`) : null;
  return { job, curves: new Map(curves.data.map((curve) => [curve.name, curve.points])), samples, model };
}

class Compare extends View {
  runs = null;
  error = null;
  due = new Set(); // runs to read again

  start() {
    this.addEventListener("frame", (event) => this.moved(event));
    overview().addEventListener("job", ({ detail }) => this.changed(detail.id));
    this.load();
  }

  async load() {
    const ids = parameters().getAll("job").slice(0, MOST);
    try {
      const [types, jobs] = await Promise.all([get("/v1/model-types"), get("/v1/training-jobs?limit=50")]);
      this.types = new Map(types.data.map((type) => [type.name, type]));
      this.choices = jobs.data;
      this.runs = await Promise.all(ids.map(read));
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  /** Read a run again, a moment after its first change. */
  changed(id) {
    if (this.due.has(id) || !this.runs?.some((run) => run.job.id === id)) return;
    this.due.add(id);
    setTimeout(async () => {
      this.due.delete(id);
      try {
        const now = await read(id);
        this.runs = this.runs?.map((run) => (run.job.id === id ? now : run));
      } catch (error) {
        if (!(error instanceof Offline)) this.error = error; // the bar shows a lost server; the next change reads again
      }
      this.update();
    }, READ_AGAIN_MS);
  }

  rendered() {
    if (!this.runs?.length) return;
    const { metric } = this.options();
    const curves = Object.fromEntries(this.runs.filter((run) => run.curves.has(metric)).map((run, i) => [`${i + 1} ${titleOf(run.job)}`, run.curves.get(metric)]));
    this.querySelector("m-chart")?.set({ curves, smoothing: 0, log: parameters().get("log") === "1" });
    this.following = true; // each film begins at its own newest frame
    this.querySelectorAll("m-film").forEach((film, i) => {
      if (film.samples === this.runs[i].samples) return;
      if (!film.frames) film.wanted = wantedEpoch();
      film.show(this.runs[i].samples);
    });
    this.following = false;
  }

  /** One slider for all films: the others go to the frame of the same epoch. */
  moved({ target, detail }) {
    if (this.following) return;
    this.following = true;
    this.querySelector("m-chart")?.point(detail.step);
    keepEpoch(target.newest ? "" : detail.epoch);
    for (const film of this.querySelectorAll("m-film"))
      if (film !== target && film.frames?.length) {
        const index = film.frames.findLastIndex((frame) => frame.epoch <= detail.epoch);
        film.go(Math.max(0, index));
      }
    this.following = false;
  }

  options() {
    const names = [...new Set(this.runs.flatMap((run) => [...run.curves.keys()]))];
    const wanted = parameters().get("metric");
    return { names, metric: names.includes(wanted) ? wanted : ["val_loss", "loss", "g_loss"].find((name) => names.includes(name)) ?? names[0] };
  }

  pick(ids) {
    setParameters({ job: ids });
    this.runs = null;
    this.update();
    this.load();
  }

  differing() {
    const settings = this.runs.map(({ job }) => ({ model_type: job.model_type, dataset: job.dataset, preset: job.preset, seed: job.seed, ...job.hyperparameters }));
    const names = [...new Set(settings.flatMap(Object.keys))];
    return names.map((name) => [name, settings.map((each) => (name in each ? setting(each[name]) : "–"))]).filter(([, values]) => new Set(values).size > 1);
  }

  quality() {
    const names = [...new Set(this.runs.flatMap((run) => Object.keys(run.model?.quality ?? {})))];
    return names.map((name) => {
      const values = this.runs.map((run) => run.model?.quality[name]);
      const better = this.types.get(this.runs[0].job.model_type)?.quality_docs.find((each) => each.name === name)?.better;
      const numbers = values.filter((value) => typeof value === "number");
      const best = numbers.length > 1 && better ? Math[better === "lower" ? "min" : "max"](...numbers) : null;
      return { name, values, best };
    }).filter(({ values }) => values.some((value) => typeof value === "number"));
  }

  view() {
    if (this.error) return errorPanel(this.error);
    if (!this.runs) return html`<div class="empty">Reading the jobs …</div>`;
    const ids = this.runs.map((run) => run.job.id);
    const picker = html`<select aria-label="Add a job" @change=${(event) => event.target.value && this.pick([...ids, event.target.value])}><option value="">Add a job …</option>${this.choices.filter((job) => !ids.includes(job.id)).map((job) => html`<option value=${job.id}>${titleOf(job)} (${job.model_type})</option>`)}</select>`;
    if (!ids.length) return html`<div class="bar"><h1>Compare</h1></div><div class="empty"><p>Choose two to six jobs: their curves, the settings that differ, their quality and their samples appear side by side.</p>${picker}</div><m-exercises></m-exercises>`;
    const { names, metric } = this.options();
    return html`
      <div class="bar"><h1>Compare</h1>${ids.length < MOST ? picker : nothing}</div>
      <div class="panel"><div class="bar"><h2>Curves</h2><select aria-label="Metric" @change=${(event) => (setParameters({ metric: event.target.value }), this.update())}>${names.map((name) => html`<option ?selected=${name === metric}>${name}</option>`)}</select>
        <label><input type="checkbox" .checked=${parameters().get("log") === "1"} @change=${(event) => (setParameters({ log: event.target.checked ? "1" : "" }), this.update())}> log</label></div><m-chart></m-chart></div>
      <div class="panel scroll"><table class="table plain"><thead><tr><th></th>${this.runs.map(({ job }, i) => html`<th scope="col">${i + 1} <a href="${BASE}/jobs/${job.id}">${titleOf(job)}</a> <button class="quiet" aria-label="Remove ${titleOf(job)}" @click=${() => this.pick(ids.filter((id) => id !== job.id))}>✕</button></th>`)}</tr></thead><tbody>
        <tr><th scope="row">status</th>${this.runs.map(({ job }) => html`<td>${statusOf(job)}</td>`)}</tr>
        ${this.differing().map(([name, values]) => html`<tr data-setting=${name}><th scope="row">${name}</th>${values.map((value) => html`<td class="mono">${value}</td>`)}</tr>`)}
        ${this.quality().map(({ name, values, best }) => html`<tr data-quality=${name}><th scope="row">${name}</th>${values.map((value) => html`<td class=${value === best && best != null ? "best" : ""}>${typeof value === "number" ? figure(value) : "–"}${value === best && best != null ? html` <span class="mark">best</span>` : nothing}</td>`)}</tr>`)}
      </tbody></table></div>
      <div class="films">${this.runs.map(({ job }, i) => html`<section class="panel"><h2>${i + 1} ${titleOf(job)}</h2><m-film></m-film></section>`)}</div>`;
  }
}
customElements.define("m-compare", Compare);
mount("m-compare");
