// The list of models.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE, at } from "../address.js";
import { View, mount } from "../element.js";
import { all, get } from "../api.js";
import { overview } from "../stream.js";
import { ago, figure } from "../format.js";
import "../model-picture.js";

class Models extends View {
  models = null;
  types = new Map();
  start() {
    overview().addEventListener("job", ({ detail }) => detail.status === "succeeded" && detail.object === "training_job" && this.load());
    this.load();
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
  figures(model) {
    const shown = this.types.get(model.model_type)?.quality_docs.filter((each) => each.is_headline) ?? [];
    return shown.filter(({ name }) => typeof model.quality[name] === "number").map(({ name, meaning }) => html`<span title=${meaning}>${name} <strong>${figure(model.quality[name])}</strong></span> `);
  }
  view() {
    if (this.error) return errorPanel(this.error);
    if (!this.models) return html`<div class="empty">Reading the models …</div>`;
    if (!this.models.length) return html`<div class="bar"><h1>Models</h1></div><div class="empty"><p>A finished training publishes its model here, ready to play with.</p><p><a class="button primary" href="${BASE}/">Train a first model</a></p></div>`;
    return html`<div class="bar"><h1>Models</h1></div><div class="cards">${repeat(this.models, (model) => model.id, (model) => html`<div class="card" data-model=${model.id}><m-model-picture .job=${model.training_job}></m-model-picture>
      <h2>${model.name ?? `${model.model_type} on ${model.dataset}`}</h2><p class="muted">${model.model_type} · ${model.dataset} · ${ago(model.created_at)}</p><p>${this.figures(model)}</p>
      <div class="bar"><a class="button primary" href="${BASE}/play/${model.id}">Play</a><a class="button" href="${BASE}/jobs/${model.training_job}">Training</a><a class="button" href=${at(`/v1/models/${model.id}/export`)} download>Download</a></div></div>`)}</div>${nothing}`;
  }
}
customElements.define("m-models", Models);
mount("m-models");
