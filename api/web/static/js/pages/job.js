// One training job: state, curves, film, quality, settings and history, live.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE, idOfPage, parameters, setParameters } from "../address.js";
import { View, mount } from "../element.js";
import { Offline, change, get } from "../api.js";
import { Records } from "../job-records.js";
import { save } from "../save.js";
import { Stream, overview } from "../stream.js";
import { ago, count, titleOf } from "../format.js";
import { coded, progressWords, setting, statusOf } from "../status.js";
import { keepEpoch, wantedEpoch } from "../film.js";
import { csv, textLines } from "../curve-data.js";
import { showProgress } from "../favicon.js";
import { qualityList } from "../quality.js";
import "../real-examples.js";
import "../chart.js";

class JobPage extends View {
  id = idOfPage();
  job = null;
  error = null;
  records = new Records(`/v1/training-jobs/${this.id}`);
  queue = null;
  type = null;
  model = null;
  source = null; // the dataset
  isRead = false; // whether all records were read once; until then the film would have gaps

  start() {
    overview().addEventListener("queue", ({ detail }) => ((this.queue = detail), this.update()));
    this.addEventListener("frame", ({ target, detail }) => {
      this.querySelector("m-chart")?.point(detail.step);
      keepEpoch(target.newest ? "" : detail.epoch);
    });
    this.addEventListener("pick", ({ detail }) => this.querySelector("m-film")?.goToStep(detail.step));
    this.addEventListener("frame-key", ({ detail }) => this.querySelector("m-film")?.press(detail));
    this.addEventListener("zoomed", ({ detail }) => this.refine(detail));
    this.load();
  }

  async load() {
    try {
      this.job = await get(`/v1/training-jobs/${this.id}`);
      this.inTab();
      this.update();
      if (!this.job.is_terminal) this.follow();
      await this.stream?.ready(); // a record may arrive twice, and is kept once
      await this.reread();
    } catch (error) {
      this.error = error;
      this.update();
    }
  }

  follow() {
    this.stream = new Stream(`/v1/training-jobs/${this.id}/stream`, ["job", "metrics", "history", "sample", "resync", "deleted", "end"]);
    this.stream.addEventListener("job", ({ detail }) => {
      this.job = detail;
      this.inTab();
      if (detail.is_terminal) this.reread({ replace: true });
      this.update();
    });
    this.stream.addEventListener("poll", () => this.poll());
    this.stream.addEventListener("metrics", ({ detail }) => (this.records.addPoints(detail.points), this.draw()));
    this.stream.addEventListener("history", ({ detail }) => (this.records.addHistory([detail]), this.draw()));
    this.stream.addEventListener("sample", ({ detail }) => (this.records.addSamples([detail]), (this.filmDue = true), this.draw()));
    this.stream.addEventListener("fresh", () => this.reread());
    this.stream.addEventListener("state", ({ detail }) => detail.open && this.isUnread && this.reread());
    this.stream.addEventListener("end", () => (this.stream = null)); // a retried job is followed again
    this.stream.addEventListener("deleted", () => ((this.error = new Error("This job was deleted.")), this.update()));
  }

  /** The progress in the tab's title and icon. */
  inTab() {
    showProgress(titleOf(this.job), this.job.is_terminal ? null : this.job.progress.fraction);
  }

  /** Read everything again, where the server has no stream to spare. */
  async poll() {
    try {
      this.job = await get(`/v1/training-jobs/${this.id}`);
      this.inTab();
      await this.read();
      if (this.job.is_terminal) this.stream?.close();
    } catch (error) {
      if (error instanceof Offline) return;
      this.error = error;
      if (error.status === 404) this.stream?.close();
      this.update();
    }
  }

  /** Read all records, and what belongs to the job. */
  async read(options) {
    const [type] = await Promise.all([get(`/v1/model-types/${this.job.model_type}`), this.records.read(options)]);
    this.type = type;
    this.isRead = this.filmDue = true;
    this.source ??= await get(`/v1/datasets/${encodeURIComponent(this.job.dataset)}`).catch(() => ({})); // a deleted dataset
    if (this.job.model) this.model = await get(`/v1/models/${this.job.model}`);
    this.draw();
  }

  /** Read all records; a lost server is shown by the bar, and they are read when the stream continues. */
  async reread(options) {
    this.isUnread = false;
    try {
      await this.read(options);
    } catch (error) {
      if (!(error instanceof Offline)) throw error;
      this.isUnread = true;
    }
  }

  /** Read the points of a zoomed range, which the whole curve leaves out. */
  async refine({ first, last }) {
    try {
      await this.records.refine(first, last);
    } catch (error) {
      if (!(error instanceof Offline)) throw error; // the bar shows a lost server, and the curve stays coarse
    }
    this.draw();
  }

  draw() {
    this.update();
    queueMicrotask(() => {
      const { smoothing, log, axis, names } = this.options();
      const { steps, epochs } = this.job.progress;
      const lines = this.job.model_type === "lstm" ? textLines(names, this.source?.vocabulary) : [];
      const flags = this.records.alarms().map((event) => ({ step: event.data.step }));
      this.querySelector("m-chart")?.set({ curves: this.records.shown(names), smoothing, log, axis, lines, flags, stepsPerEpoch: epochs ? steps / epochs : 0 });
      const film = this.isRead && this.filmDue && this.querySelector("m-film");
      if (!film) return;
      if (!film.frames) film.wanted = wantedEpoch();
      this.filmDue = false;
      film.show([...this.records.samples.values()]);
    });
  }

  saveCsv() {
    save(csv(this.records.shown(this.options().names)), `${this.id}-curves.csv`, "text/csv");
  }

  options() {
    const query = parameters();
    const known = Object.keys(this.records.curves);
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
    const alarms = this.records.history.filter((event) => event.data?.hint && !warnings.some((each) => each.code === event.type));
    return html`
      <div class="bar"><h1>${titleOf(job)}</h1> ${statusOf(job)} <span>${progressWords(job, this.queue)}</span> ${this.actions(job)}</div>
      <progress max="1" value=${job.progress.fraction} aria-label="Progress"></progress>
      <p class="muted">${job.model_type} on ${job.dataset} · epoch ${count(job.progress.epoch)} of ${count(job.progress.epochs)} · step ${count(job.progress.step)} of ${count(job.progress.steps)}${job.progress.examples_per_s ? ` · ${count(job.progress.examples_per_s)} examples/s` : ""}${job.device ? ` · ${job.device}` : ""}</p>
      ${this.error ? errorPanel(this.error) : nothing}
      ${job.error ? html`<div class="notice bad" role="alert"><p><strong>${coded(job.error.message)}</strong></p><p>${coded(job.error.hint)}</p>
        <p>${this.remedy(job)} <a href="${BASE}/jobs/new?from=${job.id}">Train again with changes</a></p></div>` : nothing}
      ${warnings.length + alarms.length ? html`<div class="notice warnings" role="note" aria-label="Warnings">${warnings.map((each) => html`<p>⚑ <strong>${coded(each.message)}</strong> ${coded(each.hint)}${each.step == null ? nothing : html` <span class="muted">step ${count(each.step)}</span>`}</p>`)}${alarms.map((event) => html`<p>⚑ ${coded(event.message)}</p>`)}</div>` : nothing}
      <div class="side job">
        <section class="panel" aria-label="Curves">
          <div class="bar">
            <h2>Curves</h2>
            ${known.map((name) => html`<label><input type="checkbox" .checked=${names.includes(name)} @change=${(event) => this.choose({ curve: event.target.checked ? [...names, name] : names.filter((other) => other !== name) })}> ${name}</label>`)}
          </div>
          ${known.length ? html`<m-chart></m-chart>` : html`<div class="empty chart">${job.is_terminal ? "The job ended before its first step." : "Curves appear here with the first steps."}</div>`}
          <div class="bar">
            <label>smoothing <input type="range" min="0" max="0.95" step="0.05" .value=${String(smoothing)} @input=${(event) => this.choose({ smooth: event.target.value })}></label>
            <label><input type="checkbox" .checked=${log} @change=${(event) => this.choose({ log: event.target.checked ? "1" : "" })}> log</label>
            <label>x <select @change=${(event) => this.choose({ x: event.target.value === "step" ? "" : event.target.value })}>${["step", "epoch", "time"].map((name) => html`<option ?selected=${name === axis}>${name}</option>`)}</select></label>
            <button @click=${() => this.saveCsv()}>CSV</button>
          </div>
          ${this.records.alarms().length ? html`<p class="flags">${this.records.alarms().map((event) => html`<button class="quiet" title=${event.message} @click=${() => this.pick(event.data.step)}>⚑ step ${count(event.data.step)}: ${event.type.replaceAll("_", " ")}</button>`)}</p>` : nothing}
          ${names.includes("d_loss") || names.includes("g_loss") ? html`<p class="muted">Neither loss goes to zero: generator and discriminator hold each other in balance. A discriminator loss near zero is a bad sign.</p>` : nothing}
        </section>
        <section class="panel" aria-label="Samples"><h2>Samples by epoch</h2><m-film></m-film>
          ${this.source?.availability ? html`<m-real-examples .source=${this.source}></m-real-examples>` : nothing}</section>
        <section class="panel"><h2>History</h2><ol class="history">${repeat([...this.records.history].reverse().slice(0, 100), (event) => event.id, (event) => html`<li><span class="muted">${ago(event.at)}</span> ${coded(event.message)}</li>`)}</ol></section>
      </div>
      <div class="two">
        ${this.model ? html`<section class="panel"><h2>Quality</h2>${qualityList(this.model.quality, this.type?.quality_docs ?? [])}</section>` : nothing}
        <section class="panel"><h2>Settings</h2>
          <dl class="facts"><dt>seed</dt><dd>${job.seed}</dd><dt>preset</dt><dd>${job.preset}</dd>${Object.entries(job.hyperparameters).map(([name, value]) => html`<dt>${name}</dt><dd>${setting(value)}</dd>`)}</dl>
        </section>
      </div>`;
  }

  /** For a run that diverged: the same with a third of its learning rate. */
  remedy(job) {
    const rate = job.hyperparameters.learning_rate;
    if (job.error.code !== "diverged" || !rate) return nothing;
    return html`<a class="button primary" href="${BASE}/jobs/new?from=${job.id}&hp.learning_rate=${Number((rate / 3).toPrecision(2))}">Train again with a third of the learning rate</a>`;
  }

  /** Put crosshair and film at a step. */
  pick(step) {
    this.querySelector("m-film").goToStep(step);
    this.querySelector("m-chart").point(step);
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
      ${job.model || job.progress.step ? html`<a class="button primary" href="${BASE}/play/${job.model ?? job.id}">Play</a>` : nothing}`;
  }
}
customElements.define("m-job", JobPage);
mount("m-job");
