// The login with an API key. The server keeps the key out of the reach of scripts, in a cookie.
import { html, nothing } from "../lib.js";
import { BASE, parameters } from "../address.js";
import { View, mount } from "../element.js";
import { Problem, change, get } from "../api.js";

/** The page of this server that the address names, else the first one. */
function target() {
  const first = new URL(`${BASE}/`, location.href), next = parameters().get("next") ?? "";
  if (!next.startsWith("/")) return first;
  const found = new URL(BASE + next, location.href); // browsers drop tabs and line breaks from an address
  return found.origin === first.origin ? found : first;
}

class Login extends View {
  error = null;
  busy = false;

  async start() {
    try {
      await get("/v1/session"); // a link of another site comes without the cookie, although the browser is logged in
      location.replace(target());
    } catch (error) {
      if (!(error instanceof Problem)) ((this.error = error), this.update());
    }
  }

  async send(event) {
    event.preventDefault();
    const key = new FormData(event.target).get("key").trim();
    if (!key) return;
    ((this.busy = true), (this.error = null), this.update());
    try {
      await change("POST", "/v1/session", { key });
      location.replace(target());
    } catch (error) {
      ((this.error = error), (this.busy = false), this.update());
    }
  }

  view() {
    return html`<h1>Log in</h1>
      <form class="login" @submit=${(event) => this.send(event)}>
        <label for="key">API key</label>
        <input id="key" name="key" type="password" autocomplete="current-password" spellcheck="false" required placeholder="mimeo_…" aria-describedby="help">
        ${this.error ? html`<p class="error" role="alert">${this.error.message}</p>` : nothing}
        <button class="primary" ?disabled=${this.busy}>Log in</button>
        <p id="help" class="muted">The operator of this server makes keys: <code>mimeo keys create --owner NAME</code></p>
      </form>`;
  }
}
customElements.define("m-login", Login);
mount("m-login");
