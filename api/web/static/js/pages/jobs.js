// The list of training jobs, live: search, filters and sort in the address, actions on several at once.
import "../shell.js";
import { html, nothing, repeat, live } from "../lib.js";
import { BASE, at, parameters, setParameters } from "../address.js";
import { View, mount } from "../element.js";
import { Offline, all, change } from "../api.js";
import { Sparklines } from "../sparkline.js";
import { errorPanel } from "../shell.js";
import { overview } from "../stream.js";
import { ago, figure, titleOf } from "../format.js";
import { progressWords, statusOf } from "../status.js";

const STATUSES = ["queued", "running", "paused", "succeeded", "failed", "cancelled"];
const BY_STATUS = ["running", "pausing", "cancelling", "queued", "paused", "failed", "cancelled", "succeeded"]; // as the server sorts
const LOADED = 500; // newest jobs that are read at once; search and filters find older ones on the server
const FOUND = 300; // of a search on the server
const CURVES = 30; // jobs at the top of the list whose curves are read
const UNFINISHED = "status=queued&status=running&status=paused";
const SORTS = {
  newest: ["Newest", (a, b) => (a.id < b.id ? 1 : -1)],
  oldest: ["Oldest", (a, b) => (a.id < b.id ? -1 : 1)],
  name: ["Name", (a, b) => titleOf(a).localeCompare(titleOf(b))],
  status: ["Status", (a, b) => BY_STATUS.indexOf(a.status) - BY_STATUS.indexOf(b.status) || (a.id < b.id ? 1 : -1)],
};

class JobList extends View {
  jobs = new Map();
  chosen = new Set();
  queue = null;
  error = null;
  loaded = false;
  complete = true; // whether every job is loaded
  curves = new Sparklines();
  timer = 0;

  start() {
    const stream = overview();
    stream.addEventListener("job", ({ detail }) => detail.object === "training_job" && this.put(detail));
    stream.addEventListener("deleted", ({ detail }) => (this.jobs.delete(detail.id), this.chosen.delete(detail.id), this.update()));
    stream.addEventListener("queue", ({ detail }) => ((this.queue = detail), this.update()));
    stream.addEventListener("resync", () => this.load());
    stream.addEventListener("state", ({ detail }) => detail.open && this.error instanceof Offline && this.load());
    addEventListener("popstate", () => this.update());
    stream.ready().then(() => this.load());
  }

  put(job) {
    this.jobs.set(job.id, job);
    this.curves.add(job);
    this.update();
  }

  async load() {
    try {
      const found = await all("/v1/training-jobs?limit=100", LOADED);
      this.complete = found.length < LOADED;
      if (!this.complete) found.push(...(await all(`/v1/training-jobs?limit=100&${UNFINISHED}`, LOADED)));
      this.jobs = new Map(found.map((job) => [job.id, job]));
      this.loaded = true;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.update();
    this.search();
    this.curves.read(this.shown().slice(0, CURVES), () => this.update());
  }

  /** Find jobs that are not loaded, on the server. */
  search() {
    clearTimeout(this.timer);
    const { q, status, type, sort } = this.filters();
    if (this.complete || !(q || status.length || type || sort !== "newest")) return;
    this.timer = setTimeout(async () => {
      const query = new URLSearchParams([["limit", 100], ["q", q], ...status.map((name) => ["status", name]), ...(type ? [["model_type", type]] : []), ["sort", sort]]);
      try {
        for (const job of await all(`/v1/training-jobs?${query}`, FOUND)) if (!this.jobs.has(job.id)) this.jobs.set(job.id, job);
      } catch (error) {
        this.error = error;
      }
      this.update();
    }, 200);
  }

  filters() {
    const query = parameters();
    return { q: query.get("q") ?? "", status: query.getAll("status"), type: query.get("type") ?? "", sort: query.get("sort") ?? "newest" };
  }

  filter(values) {
    setParameters(values);
    this.update();
    this.search();
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

  /** Send one request; the stream brings the changed jobs. */
  async act(request) {
    this.error = null;
    try {
      await request();
      this.chosen.clear();
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  cancel(selected) {
    return this.act(() => change("POST", "/v1/training-jobs/cancel", selected));
  }

  toFront(jobs) {
    return this.act(() => Promise.all(jobs.map((job) => change("PATCH", `/v1/training-jobs/${job.id}`, { priority: "high" }))));
  }

  view() {
    const { q, status, type, sort } = this.filters();
    const shown = this.shown();
    const types = [...new Set([...this.jobs.values()].map((job) => job.model_type))].sort();
    const chosen = shown.filter((job) => this.chosen.has(job.id));
    const waiting = this.queue?.training.queued ?? [...this.jobs.values()].filter((job) => job.status === "queued").length;
    const raisable = chosen.filter((job) => ["queued", "paused"].includes(job.status) && job.priority !== "high");
    const cancellable = chosen.filter((job) => !job.is_terminal);
    return html`
      <div class="bar"><h1>Jobs</h1>
        ${waiting ? html`<button @click=${() => this.cancel({ status: "queued" })}>Cancel the ${waiting} that wait</button>` : nothing}
        <button ?disabled=${!raisable.length} @click=${() => this.toFront(raisable)}>To the front</button>
        <button ?disabled=${!cancellable.length} @click=${() => this.cancel({ ids: cancellable.slice(0, 1000).map((job) => job.id) })}>Cancel ${cancellable.length || "chosen"}</button>
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
      ${this.complete ? nothing : html`<p class="muted">The newest ${LOADED} jobs and all that wait or run are here. Search and filters find older ones too.</p>`}
      ${shown.length ? this.table(shown) : this.loaded ? this.nothingHere(this.jobs.size) : html`<div class="empty">Reading the jobs …</div>`}`;
  }

  nothingHere(total) {
    return total
      ? html`<div class="empty"><p>None of the ${total} jobs fits these filters.</p><button @click=${() => this.filter({ q: "", status: [], type: "", sort: "" })}>Show all</button></div>`
      : html`<div class="empty"><p>Nothing has been trained yet.</p><p><a class="button primary" href="${BASE}/">Train a first model</a></p><p><code>mimeo train vae --dataset digits</code></p></div>`;
  }

  table(shown) {
    return html`<table class="table jobs"><colgroup><col class="pick"><col class="name"><col class="state"><col class="wide"><col class="wide spark"><col class="wide"><col class="wide"></colgroup>
      <thead><tr><th><span class="sr">Choose</span></th><th>Job</th><th>Status</th><th class="wide">Progress</th><th class="wide">Loss</th><th class="wide">Latest</th><th class="wide">Created</th></tr></thead>
      <tbody>${repeat(shown, (job) => job.id, (job) => html`<tr data-job=${job.id}>
        <td><input type="checkbox" aria-label="Choose ${titleOf(job)}" .checked=${live(this.chosen.has(job.id))} @change=${(event) => (this.chosen[event.target.checked ? "add" : "delete"](job.id), this.update())}></td>
        <td><a href="${BASE}/jobs/${job.id}">${titleOf(job)}</a><br><span class="muted">${job.model_type} · ${job.dataset}</span></td>
        <td>${statusOf(job)}<br><span class="muted">${progressWords(job, this.queue)}</span></td>
        <td class="wide"><progress max="1" value=${job.progress.fraction} aria-label="Progress of ${titleOf(job)}"></progress></td>
        <td class="wide">${this.curves.view(job)}</td>
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
