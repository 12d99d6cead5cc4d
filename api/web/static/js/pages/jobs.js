// The list of training jobs, live: search, filters and sort in the address, actions on several at once.
import "../shell.js";
import { html, nothing, repeat, live } from "../lib.js";
import { BASE, at, parameters, setParameters } from "../address.js";
import { View, mount } from "../element.js";
import { all, change } from "../api.js";
import { errorPanel } from "../shell.js";
import { overview } from "../stream.js";
import { ago, figure, titleOf } from "../format.js";
import { progressWords, statusOf } from "../status.js";

const STATUSES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const SORTS = {
  newest: ["Newest", (a, b) => (a.id < b.id ? 1 : -1)],
  oldest: ["Oldest", (a, b) => (a.id < b.id ? -1 : 1)],
  name: ["Name", (a, b) => titleOf(a).localeCompare(titleOf(b))],
  status: ["Status", (a, b) => STATUSES.indexOf(a.status) - STATUSES.indexOf(b.status) || (a.id < b.id ? 1 : -1)],
};

class JobList extends View {
  jobs = new Map();
  chosen = new Set();
  queue = null;
  error = null;
  loaded = false;

  start() {
    const stream = overview();
    stream.addEventListener("job", ({ detail }) => detail.object === "training_job" && (this.jobs.set(detail.id, detail), this.update()));
    stream.addEventListener("deleted", ({ detail }) => (this.jobs.delete(detail.id), this.chosen.delete(detail.id), this.update()));
    stream.addEventListener("queue", ({ detail }) => ((this.queue = detail), this.update()));
    stream.addEventListener("resync", () => this.load());
    addEventListener("popstate", () => this.update());
    this.load();
  }

  async load() {
    try {
      const found = await all("/v1/training-jobs?limit=100", 2000);
      this.jobs = new Map(found.map((job) => [job.id, job]));
      this.loaded = true;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  filters() {
    const query = parameters();
    return { q: query.get("q") ?? "", status: query.getAll("status"), type: query.get("type") ?? "", sort: query.get("sort") ?? "newest" };
  }

  filter(values) {
    setParameters(values);
    this.update();
  }

  shown() {
    const { q, status, type, sort } = this.filters();
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    return [...this.jobs.values()]
      .filter((job) => !status.length || status.includes(job.status))
      .filter((job) => !type || job.model_type === type)
      .filter((job) => {
        const text = `${job.name ?? ""} ${job.id} ${job.dataset} ${job.model_type} ${Object.values(job.metadata).join(" ")}`.toLowerCase();
        return words.every((word) => text.includes(word));
      })
      .sort((SORTS[sort] ?? SORTS.newest)[1]);
  }

  async cancel(ids) {
    this.error = null;
    await Promise.all(ids.map((id) => change("POST", `/v1/training-jobs/${id}/cancel`).then((job) => this.jobs.set(id, job), (error) => (this.error = error))));
    this.chosen.clear();
    this.update();
  }

  view() {
    const { q, status, type, sort } = this.filters();
    const shown = this.shown();
    const types = [...new Set([...this.jobs.values()].map((job) => job.model_type))].sort();
    const chosen = shown.filter((job) => this.chosen.has(job.id));
    const waiting = [...this.jobs.values()].filter((job) => job.status === "queued");
    const cancellable = chosen.filter((job) => !job.is_terminal);
    return html`
      <div class="bar"><h1>Jobs</h1>
        ${waiting.length ? html`<button @click=${() => this.cancel(waiting.map((job) => job.id))}>Cancel the ${waiting.length} that wait</button>` : nothing}
        <button ?disabled=${!cancellable.length} @click=${() => this.cancel(cancellable.map((job) => job.id))}>Cancel ${cancellable.length || "chosen"}</button>
        <a class="button" href=${chosen.length > 1 && chosen.length <= 6 ? `${BASE}/compare?${chosen.map((job) => `job=${job.id}`).join("&")}` : nothing} aria-disabled=${chosen.length < 2 || chosen.length > 6}>Compare</a>
      </div>
      <div class="bar" role="search">
        <input type="search" aria-label="Search" placeholder="Name, id, dataset, metadata" .value=${live(q)} @input=${(event) => this.filter({ q: event.target.value })}>
        ${STATUSES.map((name) => html`<label><input type="checkbox" .checked=${live(status.includes(name))}
          @change=${(event) => this.filter({ status: event.target.checked ? [...status, name] : status.filter((other) => other !== name) })}> ${name}</label>`)}
        <select aria-label="Model type" @change=${(event) => this.filter({ type: event.target.value })}>
          <option value="" ?selected=${!type}>all types</option>${types.map((name) => html`<option value=${name} ?selected=${type === name}>${name}</option>`)}
        </select>
        <select aria-label="Sort" @change=${(event) => this.filter({ sort: event.target.value === "newest" ? "" : event.target.value })}>
          ${Object.entries(SORTS).map(([key, [title]]) => html`<option value=${key} ?selected=${sort === key}>${title}</option>`)}
        </select>
      </div>
      ${this.error ? errorPanel(this.error) : nothing}
      ${shown.length ? this.table(shown) : this.loaded ? this.nothingHere(this.jobs.size) : html`<div class="empty">Reading the jobs …</div>`}`;
  }

  nothingHere(total) {
    return total
      ? html`<div class="empty"><p>None of the ${total} jobs fits these filters.</p><button @click=${() => this.filter({ q: "", status: [], type: "", sort: "" })}>Show all</button></div>`
      : html`<div class="empty"><p>Nothing has been trained yet.</p><p><a class="button primary" href="${BASE}/">Train a first model</a></p><p><code>mimeo train vae --dataset digits</code></p></div>`;
  }

  table(shown) {
    return html`<table class="table jobs"><colgroup><col class="pick"><col class="name"><col class="state"><col class="wide"><col class="wide"><col class="wide"></colgroup>
      <thead><tr><th><span class="sr">Choose</span></th><th>Job</th><th>Status</th><th class="wide">Progress</th><th class="wide">Latest</th><th class="wide">Created</th></tr></thead>
      <tbody>${repeat(shown, (job) => job.id, (job) => html`<tr data-job=${job.id}>
        <td><input type="checkbox" aria-label="Choose ${titleOf(job)}" .checked=${live(this.chosen.has(job.id))} @change=${(event) => (this.chosen[event.target.checked ? "add" : "delete"](job.id), this.update())}></td>
        <td><a href="${BASE}/jobs/${job.id}">${titleOf(job)}</a><br><span class="muted">${job.model_type} · ${job.dataset}</span></td>
        <td>${statusOf(job)}<br><span class="muted">${progressWords(job, this.queue)}</span></td>
        <td class="wide"><progress max="1" value=${job.progress.fraction} aria-label="Progress of ${titleOf(job)}"></progress></td>
        <td class="wide muted">${latest(job)}</td>
        <td class="wide muted">${ago(job.created_at)}</td></tr>`)}</tbody></table>`;
  }
}

function latest(job) {
  const names = ["val_loss", "loss", "d_loss", "g_loss"].filter((name) => job.metrics[name] != null).slice(0, 2);
  return names.map((name) => `${name} ${figure(job.metrics[name])}`).join(" · ");
}

customElements.define("m-jobs", JobList);
mount("m-jobs");
