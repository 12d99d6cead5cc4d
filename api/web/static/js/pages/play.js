// The playground of one model.
import { errorPanel } from "../shell.js";
import { html, nothing } from "../lib.js";
import { BASE, idOfPage } from "../address.js";
import { View, mount } from "../element.js";
import { get } from "../api.js";
import { titleOf } from "../format.js";
import { acceptDrops } from "../play/saved-view.js";

const ELEMENTS = { vae: ["vae", "m-play-vae"], acgan: ["acgan", "m-play-generator"], gan: ["acgan", "m-play-generator"], lstm: ["lstm", "m-play-lstm"] };

class PlayPage extends View {
  notice = ""; // about a dropped file

  async start() {
    acceptDrops((sentence) => ((this.notice = sentence), this.update()));
    try {
      if (idOfPage().startsWith("trn_")) return await this.follow(idOfPage());
      const model = await get(`/v1/models/${idOfPage()}`);
      const [module, name] = ELEMENTS[model.model_type] ?? [];
      if (!module) throw new Error(`There is no playground for a ${model.model_type} yet. Use: mimeo generate ${model.id}`);
      await import(`../play/${module}.js`);
      this.model = model;
      this.element = Object.assign(document.createElement(name), { model });
      document.title = `${model.name ?? model.model_type} · Play · Mimeo`;
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  /** A training that goes on is played with from its newest checkpoint; an ended one leads to its model. */
  async follow(id) {
    const job = await get(`/v1/training-jobs/${id}`);
    if (job.model) return location.replace(`${BASE}/play/${job.model}${location.search}`);
    await import("../play/following.js");
    this.job = job;
    this.element = Object.assign(document.createElement("m-play-following"), { job });
    document.title = `${titleOf(job)} · Play · Mimeo`;
    this.update();
  }

  view() {
    if (this.error) return html`${errorPanel(this.error)}<p><a href="${BASE}/models">All models</a></p>`;
    if (this.job) return html`<div class="bar"><h1>${titleOf(this.job)}</h1><span class="muted">${this.job.model_type} · ${this.job.dataset}</span><a class="button" href="${BASE}/jobs/${this.job.id}">Its training</a></div>${this.refusal()}${this.element}`;
    if (!this.model) return html`<div class="empty">Reading the model …</div>`;
    const { model } = this;
    return html`<div class="bar"><h1>${model.name ?? `${model.model_type} on ${model.dataset}`}</h1><span class="muted">${model.model_type} · ${model.dataset}</span>${model.training_job ? html`<a class="button" href="${BASE}/jobs/${model.training_job}">Its training</a>` : html`<span class="tag">${model.source}</span>`}</div>${this.refusal()}${this.element}`;
  }

  refusal() {
    return this.notice ? html`<div class="notice" role="status">${this.notice}</div>` : nothing;
  }
}
customElements.define("m-play", PlayPage);
mount("m-play");
