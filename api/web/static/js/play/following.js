// The playground of a training that goes on: the server samples its newest checkpoint, and again after each new one.
import { html, nothing, live } from "../lib.js";
import { View } from "../element.js";
import { Offline, get } from "../api.js";
import { at, parameters, setParameters } from "../address.js";
import { newestOnly } from "../inference.js";
import { Stream } from "../stream.js";
import { count } from "../format.js";
import { progressWords } from "../status.js";
import { Writing, textOf } from "./writing.js";

const CHECK_MS = 1000; // between two looks for a new checkpoint
const DEFAULTS = { prompt: "", t: 0.75, length: 400, points: 12, range: 3, seed: 7 };
const FIELDS = {
  lstm: [["prompt", "text"], ["t", "number", { min: 0, max: 2, step: 0.05 }], ["length", "number", { min: 1, max: 10000, step: 1 }]],
  vae: [["points", "number", { min: 2, max: 40, step: 1 }], ["range", "number", { min: 0.5, max: 10, step: 0.5 }]],
};
const LABELS = { t: "T", range: "range ±" };

/** What is sampled from a model type with the options of the address. */
const SAMPLING = {
  lstm: ({ prompt, t, length }) => ({ length, temperature: t, ...(prompt && { prompt }) }),
  vae: ({ points, range }) => ({ mode: "grid", points, start: -range, end: range }),
  acgan: () => ({ n_per_label: 8 }),
  gan: () => ({ mode: "random", n: 64 }),
};

export class FollowingPlay extends View {
  checkpoint = null; // the newest
  shown = null; // {checkpoint, text or picture} in view
  error = null;
  #checkedAt = 0;

  start() {
    this.draw = newestOnly(() => this.#drawn(), (error) => this.#failed(error));
    this.check = newestOnly(() => this.#checked(), (error) => this.#failed(error));
    if (!this.job.is_terminal) {
      this.stream = new Stream(`/v1/training-jobs/${this.job.id}/stream`, ["job", "resync", "deleted", "end"]);
      this.stream.addEventListener("job", ({ detail }) => this.#changed(detail));
      this.stream.addEventListener("resync", () => this.stream.restart());
      this.stream.addEventListener("poll", () => this.check());
    }
    this.check();
  }

  disconnectedCallback() {
    this.stream?.close();
  }

  #failed(error) {
    if (error instanceof Offline) return; // the bar shows it
    this.error = error;
    this.update();
  }

  #changed(job) {
    this.job = job;
    this.update();
    if (!job.is_terminal && performance.now() - this.#checkedAt < CHECK_MS) return;
    this.check();
  }

  async #checked() {
    this.#checkedAt = performance.now();
    const { data } = await get(`/v1/training-jobs/${this.job.id}/checkpoints`);
    if (!data.length || data[0].id === this.checkpoint?.id) return;
    this.checkpoint = data[0];
    this.update();
    this.draw();
  }

  async #drawn() {
    const { checkpoint, job: { model_type } } = this, options = this.options();
    if (!checkpoint) return;
    this.error = null;
    this.writing = new Writing();
    const job = await this.writing.run(this.job.id, SAMPLING[model_type](options), options.seed, () => this.update());
    const picture = job.artifacts.find(({ media_type }) => media_type === "image/png");
    this.shown = { checkpoint, job, picture: picture && at(`/v1/artifacts/${picture.id}/content`), text: picture ? null : await textOf(job) };
    this.writing = null;
    this.update();
  }

  options() {
    const query = parameters();
    return Object.fromEntries(Object.entries(DEFAULTS).map(([name, usual]) => [name, typeof usual === "number" ? Number(query.get(name) ?? usual) : query.get(name) ?? usual]));
  }

  choose(values) {
    setParameters(values);
    this.update();
    this.draw();
  }

  field([name, type, bounds = {}]) {
    return html`<label>${LABELS[name] ?? name} <input class=${type === "number" ? "short" : ""} name=${name} type=${type} min=${bounds.min ?? nothing} max=${bounds.max ?? nothing} step=${bounds.step ?? nothing} .value=${live(String(this.options()[name]))} @change=${(event) => this.choose({ [name]: event.target.value })}></label>`;
  }

  view() {
    const { job, shown, checkpoint } = this;
    return html`
      <p class="muted" role="status">${job.is_terminal ? html`The training is ${job.status}.${job.model ? html` <a href=${at(`/play/${job.model}`)}>Play with its model</a>` : nothing}`
        : html`Follows the training: <strong>${progressWords(job)}</strong>. Everything below is drawn again with each new checkpoint, from the same random numbers.`}</p>
      ${this.error ? html`<div class="notice bad" role="alert">${this.error.message}</div>` : nothing}
      <div class="bar">${(FIELDS[job.model_type] ?? []).map((each) => this.field(each))}
        ${job.model_type === "vae" ? nothing : html`<button ?disabled=${!checkpoint} @click=${() => this.choose({ seed: Math.floor(Math.random() * 2 ** 31) })}>Other random numbers</button>`}</div>
      <section class="panel following" data-checkpoint=${shown?.checkpoint.id ?? nothing} aria-label="Sample">
        <p class="muted">${shown ? html`epoch ${count(shown.checkpoint.epoch)} · step ${count(shown.checkpoint.step)}` : checkpoint ? "Sampling …" : "The first checkpoint follows the first epoch."}${shown && this.writing ? " · a newer one is being sampled …" : nothing}</p>
        ${this.sample()}
      </section>`;
  }

  /** The text that is being written, as soon as it is as long as one that is there. */
  sample() {
    const { shown, writing } = this;
    if (shown?.picture) return html`<img class="pixels" src=${shown.picture} alt="Samples of the checkpoint of epoch ${shown.checkpoint.epoch}">`;
    const text = shown?.text ?? writing?.text;
    return text ? html`<pre>${text}</pre>` : html`<div class="empty">Samples appear here.</div>`;
  }
}
customElements.define("m-play-following", FollowingPlay);
