// The playground of a text model: texts from the server at one to four temperatures, tinted by surprise, and the distribution of the next character.
import { html, nothing, live } from "../lib.js";
import { View } from "../element.js";
import { parameters, setParameters } from "../address.js";
import { Graphs, newestOnly } from "../inference.js";
import { count, ordinal } from "../format.js";
import { descending, kept, shown, softmax } from "./distribution.js";
import { Reader } from "./reader.js";
import { Writing, textOf } from "./writing.js";
import { facts } from "./saved-view.js";
import { save } from "../save.js";
import { asCommand, generation } from "../command.js";
import "./surprise.js";

const BARS = 12, COLUMNS = 4;
const TINTED = 20_000; // characters; each is an element of its own
const DEFAULT_T = "0.75";
const newSeed = () => Math.floor(Math.random() * 2 ** 31);

class TextPlay extends View {
  columns = []; // of each temperature: {writing, prefix, length, text, seed, sampling, job, bits, error}
  active = 0;
  state = "Preparing the model for this browser …";
  logits = null;
  seed = "";

  start() {
    this.graphs = new Graphs(this.model.id, (state) => ((this.state = state), this.update()));
    const failed = (error) => ((this.error = error), this.update());
    this.read = newestOnly(async (prompt) => {
      this.logits = await this.reader.next(prompt);
      this.update();
    }, failed);
    this.graphs.load("step").then(({ metadata }) => {
      this.reader = new Reader(this.graphs, metadata.vocabulary, this.model.hyperparameters.layers);
      this.seed = metadata.seed_text;
      this.read(this.prompt);
      this.update();
      this.columns.forEach((column) => this.tint(column));
    }, failed);
  }

  options() {
    const query = parameters();
    return { prompt: query.get("prompt") ?? "", length: +(query.get("length") ?? 400), temperatures: (query.get("t") ?? DEFAULT_T).split(",").slice(0, COLUMNS).map(Number), topK: +(query.get("k") ?? 0), topP: +(query.get("p") ?? 0) };
  }

  /** What the model reads first: the typed prompt, or the passage of the data that the server takes without one. */
  get prompt() {
    return this.options().prompt || this.seed;
  }

  choose(values) {
    setParameters(values);
    this.update();
  }

  setTemperature(index, value) {
    this.active = index;
    const { temperatures } = this.options();
    temperatures[index] = +value;
    this.choose({ t: temperatures.join(",") });
  }

  /** A random part of the passage that the model keeps of its data, from the start of a word. */
  passage() {
    const characters = [...this.seed], most = Math.max(1, characters.length - 40);
    const start = Math.floor(Math.random() * most);
    const word = characters.indexOf(" ", start) + 1;
    this.choose({ prompt: characters.slice(word > 0 && word < most ? word : start).join("") });
    this.read(this.prompt);
  }

  sampling(temperature, prompt, length) {
    const { topK, topP } = this.options();
    return { length, temperature, ...(prompt && { prompt }), ...(topK && { top_k: topK }), ...(topP && { top_p: topP }) };
  }

  writeAll() {
    const seed = newSeed(), { prompt } = this.options();
    this.columns = this.options().temperatures.map((temperature) => ({ temperature, seed }));
    this.columns.forEach((column) => this.write(column, prompt, ""));
  }

  /** Write on after a prefix of the column's text. */
  async write(column, prompt, prefix) {
    const { length } = this.options();
    const context = prompt || this.seed, left = Math.max(1, length - [...prefix].length);
    const given = prefix ? context + prefix : prompt;
    Object.assign(column, { writing: new Writing(), error: null, prompt, prefix, length, bits: null });
    column.sampling = this.sampling(column.temperature, given, left);
    this.update();
    try {
      column.job = await column.writing.run(this.model.id, column.sampling, column.seed, () => this.update());
      const isStopped = column.job.status === "cancelled", { text } = column.writing;
      Object.assign(column, { context, text: prefix + (isStopped ? text : await textOf(column.job)), error: isStopped ? new Error("Stopped.") : null });
    } catch (error) {
      column.error = error;
    }
    column.writing = null;
    this.update();
    this.tint(column);
  }

  /** Show the column's text in its element; without the graph it stays plain until that is loaded. */
  async tint(column) {
    await Promise.resolve();
    const element = this.querySelectorAll("m-surprise")[this.columns.indexOf(column)];
    if (!this.isTinted(column) || !element) return;
    element.show(this.reader, column.context, column.text).catch((error) => ((column.error = error), this.update()));
  }

  /** Whether the column's text is shown with its surprise; very long ones are plain. */
  isTinted({ text, writing }) {
    return Boolean(this.reader && text && !writing && text.length <= TINTED);
  }

  /** The text that is being written is shown at its end. */
  rendered() {
    for (const text of this.querySelectorAll("pre.live")) text.scrollTop = text.scrollHeight;
  }

  /** With a new seed: the old one would repeat the random numbers of the text's start. */
  branch(column, { start, character }) {
    column.seed = newSeed();
    this.write(column, column.prompt, start + character);
  }

  save(column) {
    const head = facts(this.model, { seed: column.seed, sampling: column.sampling, job: column.job.id });
    save(`${head}\n\n${column.text}`, `${this.model.id}-${column.seed}-t${column.temperature}.txt`, "text/plain");
  }

  view() {
    const { prompt, length, temperatures, topK, topP } = this.options();
    const unknown = this.reader ? this.reader.unknown(prompt) : [];
    const isWriting = this.columns.some(({ writing }) => writing);
    return html`
      ${this.error ? html`<div class="notice bad" role="alert">${this.error.message}</div>` : nothing}
      <div class="side"><div class="panel">
        <label class="block">Prompt <textarea rows="3" placeholder=${this.seed ? `empty: ${this.seed.slice(0, 60)} …` : "empty: a passage of the data"} .value=${live(prompt)} @input=${(event) => (this.choose({ prompt: event.target.value }), this.reader && this.read(this.prompt))}></textarea></label>
        ${unknown.length ? html`<p class="error">The model has no character ${unknown.slice(0, 8).map((character) => html`<span class="mono">${shown(character)}</span> `)}. Leave it out.</p>` : nothing}
        <div class="bar">
          <button ?disabled=${!this.seed} @click=${() => this.passage()}>Random passage</button>
          <label>length <input class="short" type="number" min="1" max="100000" .value=${live(String(length))} @change=${(event) => this.choose({ length: event.target.value })}></label>
          <label>top-k <input class="short" type="number" min="0" placeholder="–" .value=${live(topK ? String(topK) : "")} @change=${(event) => this.choose({ k: event.target.value })}></label>
          <label>top-p <input class="short" type="number" min="0" max="1" step="0.05" placeholder="–" .value=${live(topP ? String(topP) : "")} @change=${(event) => this.choose({ p: event.target.value })}></label>
          <button class="primary write" ?disabled=${isWriting} @click=${() => this.writeAll()}>Write</button>
          <button class="stop" ?disabled=${!isWriting} @click=${() => this.columns.forEach(({ writing }) => writing?.stop())}>Stop</button>
        </div>
        <div class="temperatures">${temperatures.map((temperature, index) => html`<label>T<input type="range" aria-label="Temperature ${index + 1}" min="0" max="2" step="0.01" .value=${live(String(temperature))} @focus=${() => ((this.active = index), this.update())} @input=${(event) => this.setTemperature(index, event.target.value)}> <span class="mono">${temperature.toFixed(2)}</span>
          ${temperatures.length > 1 ? html`<button class="quiet" aria-label="Remove temperature ${index + 1}" @click=${() => this.remove(index)}>×</button>` : nothing}</label>`)}
          <button ?disabled=${temperatures.length >= COLUMNS} @click=${() => this.setTemperature(temperatures.length, 1)}>Another temperature</button></div>
      </div><div class="panel next"><h2>Next character</h2>${this.bars(temperatures[Math.min(this.active, temperatures.length - 1)], topK, topP)}</div></div>
      ${this.columns.length ? html`<div class="columns">${this.columns.map((column) => this.column(column))}</div><p class="muted">A darker character surprised the model more. Point at one for the alternatives; a click on one of them writes on from there.</p>`
        : html`<div class="empty"><p>Text appears here. T = 0 always takes the likeliest character; at 1 the model's own probabilities decide; above, rare characters come up.</p></div>`}
      ${asCommand(generation({ model: this.model.id, sampling: this.sampling(temperatures[0], prompt, length) }))}`;
  }

  remove(index) {
    this.active = 0;
    this.choose({ t: this.options().temperatures.toSpliced(index, 1).join(",") });
  }

  column(column) {
    const { temperature, seed, text, writing, prefix, length, error, bits } = column, isTinted = this.isTinted(column);
    const job = writing?.job ?? column.job;
    const state = writing ? progress(writing, prefix, length) : bits ? `${bits.total.toFixed(1)} bits, ${(bits.total / Math.max(1, bits.count)).toFixed(2)} each` : isTinted || !text ? "" : "not tinted";
    return html`<section class="panel column" data-job=${job?.id ?? nothing} aria-busy=${String(Boolean(writing))} aria-label="Text at temperature ${temperature}">
      <div class="bar"><h2>T = ${temperature}</h2><span class="muted">seed ${seed} · ${state}</span></div>
      ${error ? html`<p class="error" role="alert">${error.message}</p>` : nothing}
      <m-surprise ?hidden=${!isTinted} @branch=${(event) => this.branch(column, event.detail)} @bits=${(event) => ((column.bits = event.detail), this.update())}></m-surprise>
      ${isTinted ? nothing : html`<pre class=${writing ? "live" : ""}>${writing ? prefix + writing.text : text}</pre>`}
      <div class="bar"><button ?disabled=${!text} @click=${() => navigator.clipboard?.writeText(text)}>Copy</button><button class="save" ?disabled=${!text} @click=${() => this.save(column)}>Save</button></div>
    </section>`;
  }

  bars(temperature, topK, topP) {
    if (!this.logits) return html`<p class="muted">${this.reader ? "Type a prompt." : this.state}</p>`;
    const order = descending(this.logits), drawn = softmax(this.logits, temperature), { characters } = this.reader;
    const count = kept(order, this.logits, { temperature, topK, topP });
    return html`<ol class="bars">${order.slice(0, BARS).map((id, place) => html`<li class=${place < count ? "" : "cut"} data-id=${id} data-p=${drawn[id]}><span class="mono">${shown(characters[id])}</span><meter min="0" max="1" .value=${drawn[id]} aria-label="Probability of ${shown(characters[id])}"></meter><span class="num">${(100 * drawn[id]).toFixed(1)} %</span></li>`)}</ol>
      <p class="muted">At T = ${temperature.toFixed(2)}, of ${characters.length} characters${count < order.length ? `, ${count} remain` : ""}. The order never changes with the temperature.</p>`;
  }
}

/** "512 of 2,000", or why nothing is written yet. */
function progress({ job, count: written }, prefix, length) {
  if (!written) return job?.status === "queued" && job.queue_position > 1 ? `${ordinal(job.queue_position)} in the queue` : "writing …";
  return `${count([...prefix].length + written)} of ${count(length)}`;
}

customElements.define("m-play-lstm", TextPlay);
