// The first page: one card for each model type, and the newest jobs.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE } from "../address.js";
import { View, mount } from "../element.js";
import { change, get } from "../api.js";
import { overview } from "../stream.js";
import { ago, titleOf } from "../format.js";
import { progressWords, statusOf } from "../status.js";
import { usualDataset } from "../dataset-words.js";
import "../dataset-picture.js";

class Home extends View {
  types = null;
  jobs = [];
  models = new Map();
  queue = null;
  error = null;
  sending = "";

  start() {
    const stream = overview();
    stream.addEventListener("queue", ({ detail }) => ((this.queue = detail), this.update()));
    stream.addEventListener("job", ({ detail }) => {
      if (detail.object !== "training_job") return;
      this.jobs = [detail, ...this.jobs.filter((job) => job.id !== detail.id)].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, 8);
      this.update();
    });
    stream.addEventListener("deleted", ({ detail }) => ((this.jobs = this.jobs.filter((job) => job.id !== detail.id)), this.update()));
    stream.addEventListener("resync", () => this.load());
    stream.ready().then(() => this.load());
  }

  async load() {
    try {
      const [types, jobs, datasets, models] = await Promise.all([get("/v1/model-types"), get("/v1/training-jobs?limit=8"), get("/v1/datasets"), get("/v1/models?limit=100")]);
      this.types = types.data;
      this.jobs = jobs.data;
      this.models = new Map(models.data.toReversed().map((model) => [model.model_type, model]));
      this.datasets = new Map(datasets.data.map((dataset) => [dataset.name, dataset]));
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  /** The dataset of a card's training: the type's default where it is on this machine, else the built-in one. */
  dataset(type) {
    return usualDataset(type, this.datasets ?? new Map(), ["builtin", "present"]);
  }

  async train(type) {
    this.sending = type.name;
    this.update();
    try {
      const job = await change("POST", "/v1/training-jobs", { model_type: type.name, dataset: this.dataset(type), hyperparameters: type.demo.hyperparameters });
      location.assign(`${BASE}/jobs/${job.id}`);
    } catch (error) {
      this.error = error;
      this.sending = "";
      this.update();
    }
  }

  view() {
    return html`
      <div class="bar"><h1>Train a model, watch it learn, play with it</h1></div>
      ${this.error ? errorPanel(this.error) : nothing}
      ${this.queue?.training.workers === 0 ? html`<div class="notice">No training worker is running, so jobs wait. Start one: <code>mimeo up</code></div>` : nothing}
      <div class="cards">${(this.types ?? [{}, {}, {}, {}]).map((type) => (type.name ? this.card(type) : html`<div class="card"><div class="picture"></div><h2>&nbsp;</h2><p>&nbsp;</p></div>`))}</div>
      <h2 class="spaced">Newest jobs</h2>
      ${this.jobs.length ? html`<table class="table"><tbody>${repeat(this.jobs, (job) => job.id, (job) => html`<tr>
          <td><a href="${BASE}/jobs/${job.id}">${titleOf(job)}</a></td><td class="muted wide">${job.model_type} · ${job.dataset}</td><td>${statusOf(job)}</td><td class="muted">${progressWords(job, this.queue)}</td><td class="muted wide">${ago(job.created_at)}</td></tr>`)}</tbody></table>`
        : html`<div class="empty"><p>Jobs appear here. One click on a card above makes the first.</p><code>mimeo train vae --dataset digits</code></div>`}`;
  }

  card(type) {
    const dataset = this.dataset(type);
    const model = this.models.get(type.name);
    return html`<div class="card" data-type=${type.name}><m-dataset-picture .name=${dataset}></m-dataset-picture><h2>${type.title}</h2><p>${type.summary}</p>
      <p class="muted">Trains in minutes on <strong>${dataset}</strong>${dataset === type.default_dataset ? "" : html`, because ${type.default_dataset} is not on this machine`}.</p>
      <div class="bar"><button class="primary" ?disabled=${this.sending !== ""} @click=${() => this.train(type)}>${this.sending === type.name ? "Sending …" : "Train in minutes"}</button>
        ${model ? html`<a class="button" href="${BASE}/play/${model.id}">Play ${model.source === "ready-made" ? "with a ready-made one" : "with the newest"}</a>` : nothing}</div></div>`;
  }
}
customElements.define("m-home", Home);
mount("m-home");
