// Reads text with an LSTM's step graph, from a state of zeros.
const BLOCK = 128; // characters of one call; the page can stop between calls

export class Reader {
  #last = { text: "", state: null, logits: null };

  /** vocabulary: its characters, in the order of their ids. sizes: units of the layers. */
  constructor(graphs, vocabulary, sizes) {
    Object.assign(this, { graphs, sizes, characters: [...vocabulary] });
    this.ids = new Map(this.characters.map((character, id) => [character, id]));
  }

  /** Distinct characters of a text that the model does not have. */
  unknown(text) {
    return [...new Set([...text].filter((character) => !this.ids.has(character)))];
  }

  /** Logits of the character after a text, float32 [V]; null for an empty one. Text that extends the last one is continued. */
  async next(text) {
    const continues = this.#last.state && text.startsWith(this.#last.text);
    let { state, logits } = continues ? this.#last : { state: null, logits: null };
    for await (const block of this.#blocks(continues ? text.slice(this.#last.text.length) : text, state)) ({ state } = block), (logits = block.rows.at(-1));
    this.#last = { text, state, logits };
    return logits;
  }

  /** For each block of a text the logits before its characters: {start, rows}. context: the text before, not empty. */
  async *before(context, text) {
    let last = null, state = null, start = 0;
    for await (const block of this.#blocks(context, null)) ({ state } = block), (last = block.rows.at(-1));
    for await (const { state: _, rows } of this.#blocks(text, state)) {
      const known = last ? [last, ...rows.slice(0, -1)] : rows;
      yield { start, rows: known };
      start += rows.length;
      last = rows.at(-1);
    }
  }

  async *#blocks(text, state) {
    const ids = [...text].map((character) => this.ids.get(character)).filter((id) => id !== undefined);
    for (let at = 0; at < ids.length; at += BLOCK) {
      const part = ids.slice(at, at + BLOCK);
      const result = await this.graphs.sequence("step", part, this.sizes, state);
      ({ state } = result);
      const width = result.logits.length / part.length;
      yield { state, rows: part.map((_, i) => result.logits.subarray(i * width, (i + 1) * width)) };
    }
  }
}
