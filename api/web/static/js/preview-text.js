// A text: a passage of it, and its characters with their counts.
import { html, nothing } from "./lib.js";
import { View } from "./element.js";
import { parameters, setParameters } from "./address.js";
import { get } from "./api.js";
import { count } from "./format.js";

const LENGTH = 1200, MOST = 300;
const NAMES = { " ": "space", "\n": "line end", "\t": "tab" };

class TextPreview extends View {
  name = "";
  text = null;
  error = null;

  start() {
    addEventListener("popstate", () => this.load());
    this.load();
  }

  choose(values) {
    setParameters(values, { push: true });
    return this.load();
  }

  async load() {
    const query = new URLSearchParams({ length: LENGTH, offset: +(parameters().get("offset") ?? 0) });
    const seed = parameters().get("seed");
    if (seed) query.set("seed", seed);
    try {
      this.text = (await get(`/v1/datasets/${encodeURIComponent(this.name)}/preview?${query}`)).text;
      this.error = null;
    } catch (error) {
      this.error = error;
      this.text = null;
    }
    this.update();
  }

  view() {
    if (this.error) return html`<div class="empty"><p>${this.error.message}</p></div>`;
    if (!this.text) return html`<div class="empty tall">Reading the text …</div>`;
    const { size, offset, excerpt, counted, characters } = this.text;
    const most = characters[0]?.count ?? 1;
    return html`<div class="side">
      <section class="panel" aria-label="Passage"><div class="bar"><h2>${offset === 0 ? "How it starts" : `From byte ${count(offset)} of ${count(size)}`}</h2>
        <button @click=${() => this.choose({ seed: Math.floor(Math.random() * 1e6) + 1, offset: "" })}>Random passage</button>
        ${offset ? html`<button @click=${() => this.choose({ seed: "", offset: "" })}>Start</button>` : nothing}</div>
        <pre class="passage" tabindex="0">${excerpt}</pre></section>
      <section class="panel" aria-label="Characters"><h2>${count(characters.length)} characters</h2>
        <ol class="characters" tabindex="0">${characters.slice(0, MOST).map(({ character, count: times }) => html`<li><span class="mono">${NAMES[character] ?? character}</span><meter min="0" max=${most} value=${times} aria-label="Occurrences of ${NAMES[character] ?? character}"></meter><span class="num muted">${count(times)}</span></li>`)}</ol>
        ${characters.length > MOST ? html`<p class="muted">and ${count(characters.length - MOST)} rarer ones</p>` : nothing}
        <p class="muted">Counted in the first ${count(counted)} characters. Each needs one output of the model; rare ones are learnt badly.</p></section></div>`;
  }
}
customElements.define("m-preview-text", TextPreview);
