// The frame of every page: navigation, connection, theme, the bar that reports a lost server.
import { html, nothing } from "./lib.js";
import { BASE, OWNER } from "./address.js";
import { send } from "./api.js";
import { View } from "./element.js";
import { overview } from "./stream.js";
import { count } from "./format.js";
import { toggleKeys } from "./keys.js";

for (const link of document.querySelectorAll(".nav a")) {
  const path = new URL(link.href).pathname;
  const here = location.pathname;
  if (path === here || (path !== `${BASE}/` && here.startsWith(`${path}/`))) link.setAttribute("aria-current", "page");
}

class Connection extends View {
  queue = null;
  open = null;
  start() {
    overview().addEventListener("queue", (event) => ((this.queue = event.detail), this.update()));
    overview().addEventListener("state", (event) => ((this.open = event.detail.open), (this.refused = event.detail.refused), this.update()));
  }
  view() {
    if (this.refused) return "reading every 5 s";
    if (this.open === false) return "reconnecting …";
    if (!this.queue) return "connecting …";
    const { training } = this.queue;
    if (training.workers === 0) return html`no worker is running`;
    return html`${count(training.running)} running · ${count(training.queued)} waiting`;
  }
}
customElements.define("m-connection", Connection);

class Bar extends View {
  lost = false;
  refused = new Set(); // paths of streams that the server refused
  start() {
    let timer = 0;
    overview().addEventListener("state", (event) => {
      clearTimeout(timer);
      if (event.detail.refused && OWNER) send("GET", "/v1/session").catch(() => {}); // leads to the login where the session has ended
      if (event.detail.open || event.detail.refused) ((this.lost = false), this.update());
      else timer = setTimeout(() => ((this.lost = true), this.update()), 1000);
    });
    addEventListener("streamstate", ({ detail }) => {
      if (detail.refused) this.refused.add(detail.path);
      else this.refused.delete(detail.path);
      this.update();
    });
  }
  view() {
    if (this.refused.size && !this.lost) return html`<div>The server has as many live pages open as it permits. Close other tabs, or raise <code>MIMEO_MAX_STREAMS</code>. Until then this page reads what has changed every 5 s.</div>`;
    return this.lost ? html`<div>The server does not answer. Jobs go on; this page continues by itself when it is back.</div>` : nothing;
  }
}
customElements.define("m-bar", Bar);

class Theme extends View {
  view() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = dark ? "light" : "dark";
    return html`<button class="quiet" aria-label="Switch to the ${next} theme" title="Switch to the ${next} theme" @click=${() => {
      root.dataset.theme = next;
      document.cookie = `theme=${next}; path=${BASE || "/"}; max-age=31536000; SameSite=Lax`;
      dispatchEvent(new Event("themechange"));
      this.update();
    }}>${dark ? "☀" : "☾"}</button>`;
  }
}
customElements.define("m-theme", Theme);

document.getElementById("log-out")?.addEventListener("click", async () => {
  await send("DELETE", "/v1/session");
  location.assign(`${BASE}/login`);
});

document.querySelector(".foot .keys")?.addEventListener("click", toggleKeys);

/** An error as a panel: what happened, what to do, the id of the request. */
export const errorPanel = (error) => html`<div class="notice bad" role="alert">
  <p><strong>${error.message}</strong></p>
  ${(error.errors ?? []).length > 1 ? html`<ul>${error.errors.map((each) => html`<li><code>${each.pointer}</code> ${each.detail}</li>`)}</ul>` : nothing}
  ${error.requestId ? html`<p class="muted mono">request ${error.requestId}</p>` : nothing}
</div>`;
