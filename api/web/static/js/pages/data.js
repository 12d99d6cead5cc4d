// The datasets, and the upload of a text or of images.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE, at } from "../address.js";
import { View, mount } from "../element.js";
import { all } from "../api.js";
import { sendForm } from "../upload.js";
import { WORDS, contents } from "../dataset-words.js";
import { bytes } from "../format.js";

const SIZES = [16, 28, 32, 48, 64, 96, 128];
const isArchive = (file) => /\.(zip|npz)$/i.test(file.name);

class Data extends View {
  datasets = null;
  error = null;
  added = null; // the dataset of the last upload
  archive = null; // a chosen file of images
  size = "";
  channels = "";
  uploading = null;
  text = "";
  name = "";

  start() {
    this.addEventListener("dragover", (event) => event.preventDefault());
    this.addEventListener("drop", (event) => {
      event.preventDefault();
      const [file] = event.dataTransfer.files;
      if (file) this.take(file);
    });
    this.load();
  }

  async load() {
    try {
      this.datasets = await all("/v1/datasets");
    } catch (error) {
      this.error = error;
    }
    this.update();
  }

  take(file) {
    this.name ||= file.name.replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9._-]+/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 64);
    this.added = this.error = null;
    this.archive = isArchive(file) ? file : null;
    if (this.archive) this.update(); // size and colour are chosen before it is sent
    else this.upload(file);
  }

  async upload(file) {
    const form = new FormData();
    form.append("name", this.name);
    form.append("kind", file === this.archive ? "images" : "text");
    if (file === this.archive && this.size) form.append("size", this.size);
    if (file === this.archive && this.channels) form.append("channels", this.channels);
    form.append("file", file, "upload");
    this.error = this.added = null;
    this.uploading = 0;
    this.update();
    try {
      this.added = await sendForm("POST", "/v1/datasets", form, (sent) => ((this.uploading = sent), this.update()));
      this.archive = null;
      this.text = this.name = "";
      this.load();
    } catch (error) {
      this.error = error;
    }
    this.uploading = null;
    this.update();
  }

  /** What is chosen for images before they are sent. */
  images() {
    const chosen = (key) => (event) => ((this[key] = event.target.value), this.update());
    return html`<p><strong>${this.archive.name}</strong> <span class="muted">${bytes(this.archive.size)}</span> <button type="button" @click=${() => ((this.archive = null), this.update())}>Leave out</button></p>
      <div class="bar"><label>size <select name="size" @change=${chosen("size")}><option value="">28 in grey, 32 in colour</option>${SIZES.map((each) => html`<option value=${each}>${each}×${each}</option>`)}</select></label>
        <label>colour <select name="channels" @change=${chosen("channels")}><option value="">as the pictures have it</option><option value="1">grey</option><option value="3">colour</option></select></label></div>`;
  }

  view() {
    if (!this.datasets) return this.error ? errorPanel(this.error) : html`<div class="empty">Reading the datasets …</div>`;
    return html`<div class="bar"><h1>Data</h1></div>
      ${this.error ? errorPanel(this.error) : nothing}
      ${this.added ? html`<div class="notice" role="status"><p><strong>${this.added.name}</strong>: ${this.added.title}.</p>${this.added.detail ? html`<p>${this.added.detail}</p>` : nothing}${this.added.picture ? html`<img class="pixels" src="${at(`/v1/datasets/${this.added.name}/picture`)}" alt="The first images of each class, a row for a class: ${this.added.class_names.slice(0, 10).join(", ")}">` : nothing}<p><a href="${BASE}/jobs/new?type=${this.added.kind === "text" ? "lstm" : "vae"}&dataset=${this.added.name}">Train on it</a></p></div>` : nothing}
      <form class="panel" @submit=${(event) => (event.preventDefault(), this.upload(this.archive ?? new Blob([this.text], { type: "text/plain" })))}>
        <h2>Data of your own</h2>
        <p class="muted">Drop a file anywhere on this page or choose one: a text in UTF-8; or images, as a zip with one folder for each class, a zip of IDX files, or an .npz with <code>images</code> and <code>labels</code>. A text can be pasted.</p>
        <div class="bar"><label>name <input name="name" required pattern="[a-z0-9][a-z0-9._\\-]{0,63}" .value=${this.name} @input=${(event) => ((this.name = event.target.value), this.update())}></label>
          <label>file <input type="file" accept=".txt,text/*,.zip,.npz" @change=${(event) => event.target.files[0] && this.take(event.target.files[0])}></label></div>
        ${this.archive ? this.images() : html`<label class="block">text <textarea rows="4" .value=${this.text} @input=${(event) => ((this.text = event.target.value), this.update())}></textarea></label>`}
        <button class="primary" ?disabled=${!this.name || !(this.text || this.archive) || this.uploading != null}>Add</button>
        ${this.uploading != null ? html`<progress max="1" value=${this.uploading} aria-label="Upload"></progress>${this.uploading === 1 ? html`<p class="muted" role="status">The server is reading the file …</p>` : nothing}` : nothing}
      </form>
      <table class="table data"><thead><tr><th>Dataset</th><th class="wide">Contents</th><th>Where</th><th></th></tr></thead><tbody>${repeat(this.datasets, (each) => each.name, (each) => html`<tr data-dataset=${each.name}>
        <td title=${each.title}><a href="${BASE}/data/${each.name}">${each.name}</a> <span class="muted">${each.kind}</span></td>
        <td class="wide muted">${contents(each) || "known after the download"}</td>
        <td title=${each.detail ?? ""}>${each.source === "upload" ? "uploaded" : WORDS[each.availability]}</td>
        <td class="num"><a href="${BASE}/jobs/new?type=${each.kind === "text" ? "lstm" : "vae"}&dataset=${each.name}">Train</a></td></tr>`)}</tbody></table>`;
  }
}
customElements.define("m-data", Data);
mount("m-data");
