// The costs of a training before it is submitted: asked of the server while the form changes.
import { html, nothing } from "./lib.js";
import { change, Problem } from "./api.js";
import { bytes, count, duration, ordinal } from "./format.js";

const PAUSE_MS = 150;

/** Asks for an estimate shortly after the last change; `changed` is called with each answer. */
export class Estimate {
  answer = null;
  errors = {}; // of the server, by pointer
  failure = null;
  #timer = 0; #request = null; #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  /** The request has changed. body: null while the form has errors of its own. */
  ask(body) {
    clearTimeout(this.#timer);
    this.#request?.abort();
    if (!body) this.answer = null;
    else this.#timer = setTimeout(() => this.#send(body), PAUSE_MS);
  }

  async #send(body) {
    const request = (this.#request = new AbortController());
    try {
      const answer = await change("POST", "/v1/training-jobs", { ...body, dry_run: true }, { signal: request.signal });
      Object.assign(this, { answer, errors: {}, failure: null });
    } catch (error) {
      if (error.name === "AbortError") return;
      const refused = error instanceof Problem && error.errors.length > 0;
      this.answer = null;
      this.errors = refused ? Object.fromEntries(error.errors.map((each) => [each.pointer, each.detail])) : {};
      this.failure = refused ? null : error.message;
    }
    this.#changed();
  }

  view() {
    const { answer } = this;
    const missing = this.failure ?? (Object.keys(this.errors).length ? "The settings have errors." : "…");
    return html`<section class="panel estimate" aria-label="Estimate" role="status">
      <dl class="facts">
        <dt>steps</dt><dd>${answer ? (answer.steps == null ? "not known" : count(answer.steps)) : missing}</dd>
        <dt>time on this machine</dt><dd title=${answer?.basis ?? nothing}>${answer ? (answer.seconds == null ? "not known yet" : `about ${duration(answer.seconds)}`) : "–"}</dd>
        <dt>memory</dt><dd>${answer ? `at most ${bytes(answer.memory_bytes)}` : "–"}</dd>
        <dt>place in the queue</dt><dd>${answer ? `${answer.queue_position_is_exact ? "" : "beyond the "}${ordinal(answer.queue_position)}` : "–"}</dd>
      </dl>
      <p class="muted help">${answer?.basis ?? ""}</p>
      ${(answer?.warnings ?? []).map((each) => html`<p class="warned">⚑ ${each.message} ${each.hint ?? ""}</p>`)}
    </section>`;
  }
}
