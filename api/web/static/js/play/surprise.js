// A generated text whose characters are tinted by their surprise. One that is pointed at shows the alternatives.
import { html, nothing, render } from "../lib.js";
import { bitsOf, descending, shown, softmax } from "./distribution.js";

const SHADES = 8, BITS_OF_DARKEST = 8; // a character of this many bits has the darkest tint
const ALTERNATIVES = 6;

/** Events: `branch` with {start, character}: write on from another character; `bits` with {total, count}. */
export class SurpriseText extends HTMLElement {
  #characters = []; #rows = []; #bits = []; #spans = []; #run = 0; #pinned = false;
  active = -1;

  /** Show a text and read it with the model. context: the text before it. */
  async show(reader, context, text) {
    const run = ++this.#run;
    this.reader = reader;
    this.#characters = [...text];
    this.#rows = [];
    this.#bits = [];
    this.#close();
    this.#write();
    for await (const { start, rows } of reader.before(context, text)) {
      if (run !== this.#run || !this.isConnected) return;
      for (const [offset, logits] of rows.entries()) {
        const at = start + offset, bits = bitsOf(logits, reader.ids.get(this.#characters[at]));
        this.#rows[at] = logits;
        this.#bits[at] = bits;
        this.#spans[at].className = `s${Math.min(SHADES, Math.round((bits / BITS_OF_DARKEST) * SHADES))}`;
      }
    }
    const total = this.#bits.reduce((sum, bits) => sum + bits, 0);
    this.dataset.bits = total;
    this.dispatchEvent(new CustomEvent("bits", { detail: { total, count: this.#bits.length } }));
  }

  #write() {
    delete this.dataset.bits;
    this.#spans = this.#characters.map((character, at) => {
      const span = document.createElement("span");
      span.textContent = character;
      span.dataset.at = at;
      if (character === "\n") span.dataset.line = ""; // a mark, since nothing of a line's end can be pointed at
      return span;
    });
    this.text ??= this.#parts();
    this.text.replaceChildren(...this.#spans);
  }

  #parts() {
    const text = Object.assign(document.createElement("pre"), { tabIndex: 0 });
    text.setAttribute("role", "group");
    text.setAttribute("aria-label", "Text, tinted by surprise. Arrow keys move over its characters, Enter opens the alternatives.");
    this.alternatives = Object.assign(document.createElement("div"), { className: "alternatives", hidden: true });
    this.alternatives.setAttribute("role", "status");
    text.addEventListener("pointerover", ({ target }) => target.dataset.at !== undefined && !this.#pinned && this.#open(+target.dataset.at));
    text.addEventListener("click", ({ target }) => target.dataset.at !== undefined && this.#toggle(+target.dataset.at));
    text.addEventListener("keydown", (event) => this.#key(event));
    text.addEventListener("focus", () => text.matches(":focus-visible") && this.active < 0 && this.#open(0));
    this.addEventListener("pointerleave", () => !this.#pinned && this.#close());
    this.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !this.contains(relatedTarget) && this.#close());
    this.addEventListener("keydown", ({ key }) => key === "Escape" && (this.#close(), text.focus()));
    this.replaceChildren(text, this.alternatives);
    return text;
  }

  #key(event) {
    const last = this.#characters.length - 1;
    const moves = { ArrowRight: this.active + 1, ArrowLeft: this.active - 1, Home: 0, End: last };
    if (event.key === "Enter" || event.key === " ") {
      this.#pin(Math.max(0, this.active));
      this.alternatives.querySelector("button")?.focus();
    } else if (event.key in moves) this.#open(Math.min(last, Math.max(0, moves[event.key])));
    else return;
    event.preventDefault();
  }

  #toggle(at) {
    if (this.#pinned && this.active === at) this.#close();
    else this.#pin(at);
  }

  #pin(at) {
    this.#open(at);
    this.#pinned = this.active >= 0;
  }

  #close() {
    this.#spans[this.active]?.classList.remove("active");
    this.active = -1;
    this.#pinned = false;
    if (this.alternatives) this.alternatives.hidden = true;
  }

  #open(at) {
    const logits = this.#rows[at];
    if (!logits) return;
    this.#close();
    this.active = at;
    const span = this.#spans[at], { characters } = this.reader, own = this.reader.ids.get(this.#characters[at]);
    const probabilities = softmax(logits, 1);
    const others = descending(logits).filter((id) => id !== own).slice(0, ALTERNATIVES);
    const percent = (id) => `${(100 * probabilities[id]).toFixed(1)} %`;
    span.classList.add("active");
    render(html`<p data-bits=${this.#bits[at]}><strong class="mono">${shown(this.#characters[at])}</strong> ${percent(own)}, ${this.#bits[at].toFixed(2)} bits</p>
      <div class="bar">${others.map((id) => html`<button class="other" data-character=${characters[id]} aria-label="Go on from ${shown(characters[id])}, ${percent(id)}" @click=${() => this.#branch(at, characters[id])}><span class="mono">${shown(characters[id])}</span> <span class="muted">${percent(id)}</span></button>`)}</div>${nothing}`, this.alternatives);
    this.alternatives.hidden = false;
    const left = Math.min(span.offsetLeft, Math.max(0, this.clientWidth - this.alternatives.offsetWidth));
    this.alternatives.style.left = `${left}px`;
    this.alternatives.style.top = `${span.offsetTop + span.offsetHeight - this.text.scrollTop}px`;
  }

  #branch(at, character) {
    const start = this.#characters.slice(0, at).join("");
    this.#close();
    this.dispatchEvent(new CustomEvent("branch", { detail: { start, character } }));
  }
}
customElements.define("m-surprise", SurpriseText);
