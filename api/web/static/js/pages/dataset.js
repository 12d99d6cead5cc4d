// One dataset: its images by class or its text, its use, and changes of an upload.
import { errorPanel } from "../shell.js";
import { html, live, nothing } from "../lib.js";
import { BASE, idOfPage } from "../address.js";
import { View, mount } from "../element.js";
import { change, get } from "../api.js";
import { sendForm } from "../upload.js";
import { ago, bytes, count } from "../format.js";
import { WORDS, contents } from "../dataset-words.js";
import "../preview-images.js";
import "../preview-text.js";

class DatasetPage extends View {
  name = idOfPage();
  dataset = null;
  error = null;
  notice = "";
  asking = false; // whether to delete
  uploading = null;

  start() {
    this.load();
  }

  async load() {
    try {
      this.dataset = await get(`/v1/datasets/${encodeURIComponent(this.name)}`);
      document.title = `${this.name} · Data · Mimeo`;
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  /** Run an action on the dataset; its error is shown on the page. */
  async act(action, notice) {
    this.error = null;
    this.notice = "";
    try {
      await action();
      this.notice = notice;
    } catch (error) {
      this.error = error;
    }
    this.uploading = null;
    this.update();
  }

  describe(event) {
    event.preventDefault();
    const text = event.target.elements.description.value.trim();
    return this.act(async () => (this.dataset = await change("PATCH", `/v1/datasets/${this.name}`, { description: text || null })), "The description is saved.");
  }

  replace(file) {
    const form = new FormData();
    form.append("file", file, file.name);
    this.uploading = 0;
    return this.act(async () => {
      this.dataset = await sendForm("PUT", `/v1/datasets/${this.name}`, form, (fraction) => ((this.uploading = fraction), this.update()));
      this.querySelector("m-preview-text, m-preview-images")?.load();
    }, "Replaced. Models of the earlier contents keep working.");
  }

  remove() {
    return this.act(async () => {
      await change("DELETE", `/v1/datasets/${this.name}`);
      location.assign(`${BASE}/data`);
    }, "");
  }

  view() {
    const { dataset } = this;
    if (!dataset) return this.error ? html`<div class="bar"><h1>${this.name}</h1></div>${errorPanel(this.error)}<p><a href="${BASE}/data">All datasets</a></p>` : html`<div class="empty">Reading the dataset …</div>`;
    const isUpload = dataset.source === "upload";
    return html`
      <div class="bar"><h1>${dataset.name}</h1><span class="muted">${contents(dataset)}</span>
        <a class="button primary" href="${BASE}/jobs/new?type=${dataset.kind === "text" ? "lstm" : "vae"}&dataset=${dataset.name}">Train on it</a></div>
      <p>${dataset.description ?? dataset.title}</p>
      ${this.error ? errorPanel(this.error) : nothing}
      ${isUpload ? html`<p role="status" class="reserved">${this.notice}</p>` : nothing}
      ${dataset.kind === "text" ? html`<m-preview-text .name=${dataset.name}></m-preview-text>` : html`<m-preview-images .name=${dataset.name} .hasPicture=${Boolean(dataset.picture)}></m-preview-images>`}
      <div class="two">
        <section class="panel"><h2>About</h2>${this.facts(dataset)}</section>
        ${isUpload ? this.changes(dataset) : nothing}
      </div>`;
  }

  facts(dataset) {
    const { jobs, models } = dataset.used_by;
    const isUpload = dataset.source === "upload";
    const rows = [
      ["source", isUpload ? "uploaded" : WORDS[dataset.availability]],
      [isUpload ? "what was done" : "where to put it", dataset.detail],
      ["licence", dataset.license],
      ["image", dataset.image_shape && `${dataset.image_shape[2]} × ${dataset.image_shape[1]}, ${dataset.image_shape[0] === 1 ? "grey" : "colour"}`],
      ["size", dataset.size && bytes(dataset.size)],
      ["version", dataset.version],
      ["added", dataset.created_at && ago(dataset.created_at)],
      ["SHA-256", dataset.sha256 && html`<span class="mono">${dataset.sha256}</span>`],
      ["from", dataset.sources.length ? [...new Set(dataset.sources.map((url) => new URL(url).host))].join(", ") : null],
      ["used by", html`<a href="${BASE}/jobs?q=${dataset.name}">${count(jobs)} unfinished ${jobs === 1 ? "job" : "jobs"}</a>, ${count(models)} ${models === 1 ? "model" : "models"}`],
    ];
    return html`<dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
  }

  changes(dataset) {
    const isUsed = dataset.used_by.jobs > 0;
    return html`<section class="panel"><h2>Change it</h2>
      <form @submit=${(event) => this.describe(event)}>
        <label class="block">description <textarea name="description" rows="2" maxlength="1000" .value=${live(dataset.description ?? "")}></textarea></label><button>Save</button></form>
      <h2 class="spaced">Replace or delete</h2>
      ${isUsed ? html`<p class="muted">Unfinished jobs use it. It can be replaced or deleted after their end.</p>` : nothing}
      <div class="bar"><label>new contents <input type="file" ?disabled=${isUsed} @change=${(event) => event.target.files[0] && this.replace(event.target.files[0])}></label></div>
      ${this.uploading != null ? html`<progress max="1" value=${this.uploading} aria-label="Upload"></progress>` : nothing}
      ${this.asking
        ? html`<div class="notice bad" role="alert"><p><strong>Delete ${dataset.name}?</strong> This cannot be undone. Its models stay.</p><div class="bar"><button class="danger" @click=${() => this.remove()}>Delete for ever</button><button autofocus @click=${() => ((this.asking = false), this.update())}>Keep it</button></div></div>`
        : html`<button class="danger" ?disabled=${isUsed} @click=${() => ((this.asking = true), this.update())}>Delete …</button>`}
    </section>`;
  }
}
customElements.define("m-dataset", DatasetPage);
mount("m-dataset");
