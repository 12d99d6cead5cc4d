// The playground of a text model: text from the server, the distribution of the next character in this browser.
import { html, nothing, live } from "../lib.js";
import { View } from "../element.js";
import { parameters, setParameters } from "../address.js";
import { change } from "../api.js";
import { Graphs, newestOnly } from "../inference.js";

const BARS = 12;
const NAMES = { " ": "␣", "\n": "↵", "\t": "⇥" };

/** Softmax of logits at a temperature; 0 is the largest alone. */
export function softmax(logits, temperature) {
  const largest = Math.max(...logits);
  const weights = logits.map((value) => (temperature === 0 ? +(value === largest) : Math.exp((value - largest) / temperature)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Which characters remain after top-k and top-p, likeliest first. */
export function kept(order, probabilities, topK, topP) {
  let count = topK ? Math.min(topK, order.length) : order.length;
  if (topP && topP < 1) {
    let sum = 0, within = 0;
    while (within < count && sum < topP) sum += probabilities[order[within++]];
    count = Math.max(1, within);
  }
  return count;
}

class TextPlay extends View {
  texts = [];
  error = null;
  writing = false;
  logits = null;
  vocabulary = "";

  start() {
    this.graphs = new Graphs(this.model.id);
    this.read = newestOnly(async (prompt) => {
      const { inputs } = await this.graphs.load("step");
      const sizes = this.model.hyperparameters.layers;
      let state = Object.fromEntries(inputs.slice(1).map((name) => [name, { type: "float32", data: new Float32Array(sizes[+name.slice(1)]), dims: [1, sizes[+name.slice(1)]] }]));
      let logits = null;
      for (const character of [...prompt].slice(-200)) {
        const id = this.vocabulary.indexOf(character);
        if (id < 0) continue;
        const result = await this.graphs.run("step", { ids: { type: "int64", data: BigInt64Array.of(BigInt(id)), dims: [1] }, ...state });
        logits = Array.from(result.logits.data);
        state = Object.fromEntries(Object.keys(state).map((name) => [name, { type: "float32", ...result[`${name}_after`] }]));
      }
      this.logits = logits;
      this.update();
    });
    this.graphs.load("step").then(({ metadata }) => {
      this.vocabulary = [...metadata.vocabulary];
      this.seed = metadata.seed_text;
      this.read(this.options().prompt || this.seed);
      this.update();
    }, (error) => ((this.error = error), this.update()));
  }

  options() {
    const query = parameters();
    return { prompt: query.get("prompt") ?? "", length: +(query.get("length") ?? 400), temperature: +(query.get("t") ?? 0.75), topK: +(query.get("k") ?? 0), topP: +(query.get("p") ?? 0) };
  }

  choose(values) {
    setParameters(values);
    this.update();
  }

  async write() {
    const { prompt, length, temperature, topK, topP } = this.options();
    this.writing = true;
    this.error = null;
    this.update();
    try {
      const sampling = { length, temperature, ...(prompt && { prompt }), ...(topK && { top_k: topK }), ...(topP && { top_p: topP }) };
      const job = await change("POST", "/v1/generation-jobs", { model: this.model.id, sampling, priority: "high" }, { headers: { Prefer: "wait=60" } });
      if (job.status === "failed") throw new Error(`${job.error.message} ${job.error.hint ?? ""}`);
      this.texts = [{ id: job.id, temperature, seed: job.seed, text: job.output?.text ?? "" }, ...this.texts].slice(0, 8);
    } catch (error) {
      this.error = error;
    }
    this.writing = false;
    this.update();
  }

  view() {
    const { prompt, length, temperature, topK, topP } = this.options();
    return html`
      ${this.error ? html`<div class="notice bad" role="alert">${this.error.message}</div>` : nothing}
      <div class="side"><div class="panel">
        <label class="block">Prompt <textarea rows="3" placeholder=${this.seed ? `empty: ${this.seed.slice(0, 60)} …` : "empty: a passage of the data"} .value=${live(prompt)} @input=${(event) => (this.choose({ prompt: event.target.value }), this.read(event.target.value || this.seed || ""))}></textarea></label>
        <div class="bar">
          <label>temperature <input type="range" min="0" max="2" step="0.01" .value=${String(temperature)} @input=${(event) => this.choose({ t: event.target.value })}> <span class="mono">${temperature.toFixed(2)}</span></label>
          <label>length <input class="short" type="number" min="1" max="10000" .value=${String(length)} @change=${(event) => this.choose({ length: event.target.value })}></label>
          <label>top-k <input class="short" type="number" min="0" placeholder="–" .value=${topK ? String(topK) : ""} @input=${(event) => this.choose({ k: event.target.value })}></label>
          <label>top-p <input class="short" type="number" min="0" max="1" step="0.05" placeholder="–" .value=${topP ? String(topP) : ""} @input=${(event) => this.choose({ p: event.target.value })}></label>
          <button class="primary" ?disabled=${this.writing} @click=${() => this.write()}>${this.writing ? "Writing …" : "Write"}</button>
        </div>
        ${this.texts.map(({ id, temperature: t, seed, text }) => html`<figure data-job=${id}><figcaption class="muted">T = ${t} · seed ${seed} · <button class="quiet" @click=${() => navigator.clipboard?.writeText(text)}>Copy</button></figcaption><pre>${text}</pre></figure>`)}
        ${this.texts.length ? nothing : html`<div class="empty"><p>Text appears here. T = 0 always takes the likeliest character; at 1 the model's own probabilities decide; above, rare characters come up.</p></div>`}
      </div><div class="panel"><h2>Next character</h2>${this.bars(temperature, topK, topP)}</div></div>`;
  }

  bars(temperature, topK, topP) {
    if (!this.logits) return html`<p class="muted">${this.vocabulary ? "Type a prompt." : "Preparing the model for this browser …"}</p>`;
    const plain = softmax(this.logits, 1);
    const order = plain.map((_, i) => i).sort((a, b) => plain[b] - plain[a]);
    const drawn = softmax(this.logits, temperature);
    const count = kept(order, drawn, topK, topP);
    return html`<ol class="bars">${order.slice(0, BARS).map((i, place) => html`<li class=${place < count ? "" : "cut"} data-p=${drawn[i]}><span class="mono">${NAMES[this.vocabulary[i]] ?? this.vocabulary[i]}</span><meter min="0" max="1" value=${drawn[i]} aria-label="Probability of ${this.vocabulary[i]}"></meter><span class="num">${(100 * drawn[i]).toFixed(1)} %</span></li>`)}</ol>
      <p class="muted">Of ${this.vocabulary.length} characters${count < order.length ? `, ${count} remain` : ""}. The order never changes with the temperature.</p>`;
  }
}
customElements.define("m-play-lstm", TextPlay);
