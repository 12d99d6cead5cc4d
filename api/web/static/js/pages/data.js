// The datasets, and the upload of a text.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE, at } from "../address.js";
import { View, mount } from "../element.js";
import { all, Problem } from "../api.js";
import { WORDS, contents } from "../dataset-words.js";

class Data extends View {
  datasets = null;
  error = null;
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
    this.upload(file);
  }

  /** Send a file. XMLHttpRequest, because fetch reports no progress of an upload. */
  upload(file) {
    const form = new FormData();
    form.append("name", this.name);
    form.append("kind", "text");
    form.append("file", file, "text.txt");
    const request = new XMLHttpRequest();
    this.error = null;
    this.uploading = 0;
    request.upload.onprogress = (event) => event.lengthComputable && ((this.uploading = event.loaded / event.total), this.update());
    request.onload = () => {
      this.uploading = null;
      let answer = {};
      try { answer = JSON.parse(request.responseText); } catch { /* not JSON */ }
      if (request.status === 201) ((this.text = ""), (this.name = ""), this.load());
      else this.error = new Problem(request.status, answer, request.getResponseHeader("X-Request-Id"));
      this.update();
    };
    request.onerror = () => ((this.uploading = null), (this.error = new Error("The server did not answer; nothing was stored.")), this.update());
    request.open("POST", at("/v1/datasets"));
    request.send(form);
    this.update();
  }

  view() {
    if (!this.datasets) return this.error ? errorPanel(this.error) : html`<div class="empty">Reading the datasets …</div>`;
    return html`<div class="bar"><h1>Data</h1></div>
      ${this.error ? errorPanel(this.error) : nothing}
      <form class="panel" @submit=${(event) => (event.preventDefault(), this.upload(new Blob([this.text], { type: "text/plain" })))}>
        <h2>A text of your own</h2><p class="muted">Drop a UTF-8 file anywhere on this page, choose one, or paste the text.</p>
        <div class="bar"><label>name <input name="name" required pattern="[a-z0-9][a-z0-9._-]{0,63}" .value=${this.name} @input=${(event) => ((this.name = event.target.value), this.update())}></label>
          <label>file <input type="file" accept=".txt,text/*" @change=${(event) => event.target.files[0] && this.take(event.target.files[0])}></label></div>
        <label class="block">text <textarea rows="4" .value=${this.text} @input=${(event) => ((this.text = event.target.value), this.update())}></textarea></label>
        <button class="primary" ?disabled=${!this.name || !this.text || this.uploading != null}>Add</button>
        ${this.uploading != null ? html`<progress max="1" value=${this.uploading} aria-label="Upload"></progress>` : nothing}
      </form>
      <table class="table data"><thead><tr><th>Dataset</th><th class="wide">Contents</th><th>Where</th><th></th></tr></thead><tbody>${repeat(this.datasets, (each) => each.name, (each) => html`<tr data-dataset=${each.name}>
        <td title=${each.title}><a href="${BASE}/data/${each.name}">${each.name}</a> <span class="muted">${each.kind}</span></td>
        <td class="wide muted">${contents(each)}</td>
        <td title=${each.detail ?? ""}>${each.source === "upload" ? "uploaded" : WORDS[each.availability]}</td>
        <td class="num"><a href="${BASE}/jobs/new?type=${each.kind === "text" ? "lstm" : "vae"}">Train</a></td></tr>`)}</tbody></table>`;
  }
}
customElements.define("m-data", Data);
mount("m-data");
