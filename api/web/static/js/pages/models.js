// The list of models, and the import of a model from a file.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE, at } from "../address.js";
import { View, mount } from "../element.js";
import { all, change, get } from "../api.js";
import { overview } from "../stream.js";
import { ago, figure } from "../format.js";
import "../model-picture.js";
import { sendForm } from "../upload.js";

const IS_PLAY = location.pathname.endsWith("/play"); // the same list, to choose what to play with
const SOURCES = { imported: "imported", "ready-made": "ready-made" };

class Models extends View {
  models = null;
  types = new Map();
  error = null;
  sending = null;
  done = null;

  start() {
    const stream = overview();
    stream.addEventListener("job", ({ detail }) => detail.status === "succeeded" && detail.object === "training_job" && this.load());
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file) this.take(file);
    });
    stream.addEventListener("resync", () => this.load());
    stream.ready().then(() => this.load());
  }

  async load() {
    try {
      const [models, types] = await Promise.all([all("/v1/models?limit=100", 500), get("/v1/model-types")]);
      this.models = models;
      this.types = new Map(types.data.map((type) => [type.name, type]));
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  async take(file) {
    Object.assign(this, { error: null, done: null, sending: 0 });
    this.update();
    const form = new FormData();
    form.append("file", file, file.name);
    try {
      this.done = await sendForm("POST", "/v1/models", form, (share) => ((this.sending = share), this.update()));
    } catch (error) {
      this.error = error;
    }
    this.sending = null;
    if (this.done) await this.load();
    else this.update();
  }

  async remove(model) {
    if (!confirm(`Delete ${this.title(model)}? This cannot be undone.`)) return;
    this.error = null;
    try {
      await change("DELETE", `/v1/models/${model.id}`);
      await this.load();
    } catch (error) {
      this.error = error;
      this.update();
    }
  }

  title = (model) => model.name ?? `${model.model_type} on ${model.dataset}`;

  figures(model) {
    const shown = this.types.get(model.model_type)?.quality_docs.filter((each) => each.is_headline) ?? [];
    return shown.filter(({ name }) => typeof model.quality[name] === "number").map(({ name, meaning }) => html`<span title=${meaning}>${name.replaceAll("_", " ")} <strong>${figure(model.quality[name])}</strong></span><br>`);
  }

  card(model) {
    return html`<div class="card" data-model=${model.id} data-source=${model.source}>${model.training_job ? html`<m-model-picture .job=${model.training_job}></m-model-picture>` : nothing}
      <h2>${this.title(model)}${SOURCES[model.source] ? html` <span class="tag">${SOURCES[model.source]}</span>` : nothing}</h2>
      <p class="muted">${model.model_type} · ${model.dataset} · ${ago(model.created_at)}</p><p>${this.figures(model)}</p>
      ${model.about?.license ? html`<p class="muted">Trained on ${model.about.license}</p>` : nothing}
      <div class="bar"><a class="button primary" href="${BASE}/play/${model.id}">Play</a>
        ${model.training_job ? html`<a class="button" href="${BASE}/jobs/${model.training_job}">Training</a>` : nothing}
        ${IS_PLAY ? nothing : html`<a class="button" href=${at(`/v1/models/${model.id}/export`)} download>Download</a>`}
        ${IS_PLAY || model.training_job ? nothing : html`<button @click=${() => this.remove(model)}>Delete</button>`}</div></div>`;
  }

  view() {
    if (!this.models) return this.error ? errorPanel(this.error) : html`<div class="empty">Reading the models …</div>`;
    return html`<div class="bar"><h1>${IS_PLAY ? "Play" : "Models"}</h1></div>
      ${this.error ? errorPanel(this.error) : nothing}
      ${this.done ? html`<div class="notice" role="status">${this.title(this.done)} was imported. <a href="${BASE}/play/${this.done.id}">Play</a></div>` : nothing}
      ${IS_PLAY ? nothing : this.importing()}
      ${this.models.length ? html`<div class="cards">${repeat(this.models, (model) => model.id, (model) => this.card(model))}</div>`
        : html`<div class="empty"><p>A finished training publishes its model here, ready to play with.</p><p><a class="button primary" href="${BASE}/">Train a first model</a></p></div>`}`;
  }

  importing() {
    return html`<div class="panel import"><h2>Import</h2><p class="muted">Drop a model that was downloaded here or from another Mimeo (<code>.safetensors</code>) anywhere on this page, or choose it.</p>
        <label>file <input type="file" accept=".safetensors" ?disabled=${this.sending != null} @change=${(event) => { const [file] = event.target.files; event.target.value = ""; if (file) this.take(file); }}></label>
        ${this.sending != null ? html`<progress max="1" value=${this.sending} aria-label="Import"></progress>` : nothing}</div>`;
  }
}
customElements.define("m-models", Models);
mount("m-models");
