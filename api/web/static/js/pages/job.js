// One training job: state, curves, film, quality, settings and history, live.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE, idOfPage, parameters, setParameters } from "../address.js";
import { View, mount } from "../element.js";
import { all, change, get } from "../api.js";
import { Stream, overview } from "../stream.js";
import { ago, count, figure, titleOf } from "../format.js";
import { progressWords, statusOf } from "../status.js";
import "../chart.js";
import "../film.js";

class JobPage extends View {
  id = idOfPage();
  job = null;
  error = null;
  history = [];
  curves = {}; // name → Map(step → point)
  samples = new Map();
  queue = null;
  type = null;
  model = null;

  start() {
    overview().addEventListener("queue", ({ detail }) => ((this.queue = detail), this.update()));
    this.addEventListener("frame", ({ detail }) => this.querySelector("m-chart")?.point(detail.step));
    this.load();
  }

  async load() {
    try {
      this.job = await get(`/v1/training-jobs/${this.id}`);
      document.title = `${titleOf(this.job)} · Mimeo`;
      this.update();
      // The stream starts before the records are read: a record may arrive twice, and is kept once.
      if (!this.job.is_terminal) this.follow();
      await this.read();
    } catch (error) {
      this.error = error;
      this.update();
    }
  }

  follow() {
    this.stream = new Stream(`/v1/training-jobs/${this.id}/stream`, ["job", "metrics", "history", "sample", "resync", "deleted", "end"]);
    this.stream.addEventListener("job", ({ detail }) => {
      this.job = detail;
      if (detail.is_terminal) this.read();
      this.update();
    });
    this.stream.addEventListener("metrics", ({ detail }) => (this.add(detail.points), this.draw()));
    this.stream.addEventListener("history", ({ detail }) => (this.addHistory([detail]), this.update()));
    this.stream.addEventListener("sample", ({ detail }) => (this.samples.set(detail.name, detail), this.draw()));
    this.stream.addEventListener("resync", () => (this.read(), this.stream.restart()));
    this.stream.addEventListener("deleted", () => ((this.error = new Error("This job was deleted.")), this.update()));
  }

  async read() {
    const [curves, samples, history, type] = await Promise.all([
      get(`/v1/training-jobs/${this.id}/metrics?max_points=2000`),
      all(`/v1/training-jobs/${this.id}/samples?limit=1000`),
      all(`/v1/training-jobs/${this.id}/events?limit=1000`),
      get(`/v1/model-types/${this.job.model_type}`),
    ]);
    this.type = type;
    for (const { name, points } of curves.data) this.add(points.map((point) => ({ ...point, name, at: Date.parse(point.at) / 1000 })));
    for (const sample of samples) this.samples.set(sample.name, sample);
    this.addHistory(history);
    if (this.job.model) this.model = await get(`/v1/models/${this.job.model}`);
    this.draw();
  }

  add(points) {
    for (const point of points) (this.curves[point.name] ??= new Map()).set(point.step, point);
  }

  addHistory(events) {
    const known = new Map(this.history.map((event) => [event.id, event]));
    for (const event of events) known.set(event.id, event);
    this.history = [...known.values()].sort((a, b) => a.id - b.id);
  }

  draw() {
    this.update();
    queueMicrotask(() => {
      const { smoothing, log, axis, names } = this.options();
      const curves = Object.fromEntries(names.map((name) => [name, [...this.curves[name].values()].sort((a, b) => a.step - b.step)]));
      this.querySelector("m-chart")?.set({ curves, smoothing, log, axis });
      this.querySelector("m-film")?.show([...this.samples.values()]);
    });
  }

  options() {
    const query = parameters();
    const known = Object.keys(this.curves);
    const wanted = query.getAll("curve").filter((name) => known.includes(name));
    const usual = known.filter((name) => ["loss", "val_loss", "d_loss", "g_loss"].includes(name));
    return { smoothing: +(query.get("smooth") ?? 0.6), log: query.get("log") === "1", axis: query.get("x") ?? "step", names: wanted.length ? wanted : usual.length ? usual : known.slice(0, 2), known };
  }

  choose(values) {
    setParameters(values);
    this.draw();
  }

  async act(name) {
    try {
      this.job = await change("POST", `/v1/training-jobs/${this.id}/${name}`);
      if (!this.job.is_terminal && !this.stream) this.follow();
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  view() {
    const { job } = this;
    if (!job) return this.error ? html`${errorPanel(this.error)}<p><a href="${BASE}/jobs">All jobs</a></p>` : html`<div class="empty">Reading the job …</div>`;
    const { smoothing, log, axis, names, known } = this.options();
    const warnings = job.warnings ?? [];
    const alarms = this.history.filter((event) => event.data?.hint && !warnings.some((each) => each.code === event.type));
    return html`
      <div class="bar"><h1>${titleOf(job)}</h1> ${statusOf(job)} <span>${progressWords(job, this.queue)}</span> ${this.actions(job)}</div>
      <progress max="1" value=${job.progress.fraction} aria-label="Progress"></progress>
      <p class="muted">${job.model_type} on ${job.dataset} · epoch ${count(job.progress.epoch)} of ${count(job.progress.epochs)} · step ${count(job.progress.step)} of ${count(job.progress.steps)}${job.progress.examples_per_s ? ` · ${count(job.progress.examples_per_s)} examples/s` : ""}${job.device ? ` · ${job.device}` : ""}</p>
      ${this.error ? errorPanel(this.error) : nothing}
      ${job.error ? html`<div class="notice bad" role="alert"><p><strong>${job.error.message}</strong></p><p>${job.error.hint ?? ""}</p>
        <p>${this.remedy(job)} <a href="${BASE}/jobs/new?from=${job.id}">Train again with changes</a></p></div>` : nothing}
      ${warnings.length + alarms.length ? html`<div class="notice warnings" role="note" aria-label="Warnings">${warnings.map((each) => html`<p>⚑ <strong>${each.message}</strong> ${each.hint ?? ""}${each.step == null ? nothing : html` <span class="muted">step ${count(each.step)}</span>`}</p>`)}${alarms.map((event) => html`<p>⚑ ${event.message}</p>`)}</div>` : nothing}
      <div class="side">
        <section class="panel" aria-label="Curves">
          <div class="bar">
            <h2>Curves</h2>
            ${known.map((name) => html`<label><input type="checkbox" .checked=${names.includes(name)} @change=${(event) => this.choose({ curve: event.target.checked ? [...names, name] : names.filter((other) => other !== name) })}> ${name}</label>`)}
          </div>
          <m-chart></m-chart>
          <div class="bar">
            <label>smoothing <input type="range" min="0" max="0.95" step="0.05" .value=${String(smoothing)} @input=${(event) => this.choose({ smooth: event.target.value })}></label>
            <label><input type="checkbox" .checked=${log} @change=${(event) => this.choose({ log: event.target.checked ? "1" : "" })}> log</label>
            <label>x <select @change=${(event) => this.choose({ x: event.target.value === "step" ? "" : event.target.value })}>${["step", "time"].map((name) => html`<option ?selected=${name === axis}>${name}</option>`)}</select></label>
          </div>
        </section>
        <section class="panel" aria-label="Samples"><h2>Samples by epoch</h2><m-film></m-film></section>
      </div>
      <div class="side">
        <section class="panel"><h2>History</h2><ol class="history">${repeat([...this.history].reverse().slice(0, 100), (event) => event.id, (event) => html`<li><span class="muted">${ago(event.at)}</span> ${event.message}</li>`)}</ol></section>
        <section class="panel"><h2>${this.model ? "Quality" : "Settings"}</h2>
          ${this.model ? html`<dl class="facts">${Object.entries(this.model.quality).map(([name, value]) => html`<dt title=${this.meaning(name)}>${name}</dt><dd>${typeof value === "number" ? figure(value) : String(value)}</dd>`)}</dl><h2>Settings</h2>` : nothing}
          <dl class="facts"><dt>seed</dt><dd>${job.seed}</dd><dt>preset</dt><dd>${job.preset}</dd>${Object.entries(job.hyperparameters).map(([name, value]) => html`<dt>${name}</dt><dd>${JSON.stringify(value)}</dd>`)}</dl>
        </section>
      </div>`;
  }

  /** For a run that diverged: the same with a third of its learning rate. */
  remedy(job) {
    const rate = job.hyperparameters.learning_rate;
    if (job.error.code !== "diverged" || !rate) return nothing;
    return html`<a class="button primary" href="${BASE}/jobs/new?from=${job.id}&hp.learning_rate=${Number((rate / 3).toPrecision(2))}">Train again with a third of the learning rate</a>`;
  }

  meaning(name) {
    return this.type?.quality_docs.find((each) => each.name === name)?.meaning ?? "";
  }

  actions(job) {
    const button = (name, title, kind = "") => html`<button class=${kind} @click=${() => this.act(name)}>${title}</button>`;
    return html`
      ${["queued", "running"].includes(job.status) ? button("pause", "Pause") : nothing}
      ${job.status === "paused" ? button("resume", "Resume", "primary") : nothing}
      ${!job.is_terminal && job.status !== "cancelling" ? button("cancel", "Cancel", "danger") : nothing}
      ${["failed", "cancelled"].includes(job.status) ? button("retry", "Retry") : nothing}
      <a class="button" href="${BASE}/jobs/new?from=${job.id}">Train again</a>
      ${job.model || job.progress.step ? html`<a class="button" href="${BASE}/jobs/new?continue=${job.id}">Continue</a>` : nothing}
      ${job.model ? html`<a class="button primary" href="${BASE}/play/${job.model}">Play</a>` : nothing}`;
  }
}
customElements.define("m-job", JobPage);
mount("m-job");
