// The workers, with their latest heartbeats.
import { errorPanel } from "../shell.js";
import { html, nothing, repeat } from "../lib.js";
import { BASE } from "../address.js";
import { View, mount } from "../element.js";
import { get } from "../api.js";
import { overview } from "../stream.js";
import { ago, count } from "../format.js";

class Workers extends View {
  workers = null;
  start() {
    overview().addEventListener("queue", () => this.load());
    setInterval(() => document.hidden || this.load(), 5000);
    this.load();
  }
  async load() {
    try {
      this.workers = (await get("/v1/workers")).data;
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.update();
  }
  view() {
    if (!this.workers) return this.error ? errorPanel(this.error) : html`<div class="empty">Reading the workers …</div>`;
    return html`<div class="bar"><h1>Workers</h1></div>${this.workers.length ? html`<table class="table workers"><thead><tr><th>Worker</th><th>Kind</th><th class="wide">Device, labels</th><th>Job</th><th class="wide">Done</th><th class="wide">Speed</th><th>Heartbeat</th></tr></thead><tbody>
      ${repeat(this.workers, (worker) => worker.id, (worker) => html`<tr><td title=${worker.id}>${worker.host} <span class="muted">${worker.pid}</span></td><td>${worker.kind}</td><td class="wide">${worker.device} <span class="muted">${worker.labels.join(", ")}</span></td>
        <td>${worker.job ? (worker.job.startsWith("trn_") ? html`<a href="${BASE}/jobs/${worker.job}">${worker.job.slice(0, 12)}…</a>` : worker.job.slice(0, 12)) : html`<span class="muted">idle</span>`}</td>
        <td class="wide">${count(worker.jobs_done)}</td><td class="wide">${worker.examples_per_s ? `${count(worker.examples_per_s)} examples/s` : "–"}</td><td>${worker.is_alive ? ago(worker.heartbeat_at) : html`<span class="error">silent since ${ago(worker.heartbeat_at)}</span>`}</td></tr>`)}
      </tbody></table>` : html`<div class="empty"><p>No worker is running. Jobs are kept and start with the first worker.</p><code>mimeo up</code></div>`}${nothing}`;
  }
}
customElements.define("m-workers", Workers);
mount("m-workers");
