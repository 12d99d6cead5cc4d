// One connection to a stream of server-sent events, opened again after each loss. For a page or a shared worker.

const RETRY_MS = [500, 1000, 2000, 3000];
const REFUSED_MS = 5000;

/**
 * Calls emit("event", {name, data, id}), emit("state", {open, refused, fresh}), and emit("poll") every five seconds while
 * the server refuses the stream. fresh: it is open and began without a position. Ends by itself after the event `end`.
 */
export class Source {
  #address; #names; #last; #emit; #source = null; #failures = 0; #timer = 0; #ended = false;

  constructor(address, names, after, emit) {
    this.#address = address;
    this.#names = names;
    this.#last = after;
    this.#emit = emit;
    this.#start();
  }

  close() {
    this.#ended = true;
    this.#stop();
  }

  #start() {
    clearTimeout(this.#timer);
    const fresh = !this.#last;
    const source = (this.#source = new EventSource(this.#address + (this.#last ? `?after=${encodeURIComponent(this.#last)}` : "")));
    source.onopen = () => {
      this.#failures = 0;
      this.#emit("state", { open: true, refused: false, fresh });
    };
    // After an answer that is no stream, such as 503, the source is closed; after a lost connection it would try again.
    source.onerror = () => this.#failed(source.readyState === EventSource.CLOSED);
    for (const name of this.#names)
      source.addEventListener(name, (event) => {
        if (name === "resync") this.#last = null; // the next connection starts from the present state
        else if (event.lastEventId) this.#last = event.lastEventId;
        if (name === "end") this.close();
        this.#emit("event", { name, data: JSON.parse(event.data), id: this.#last });
      });
  }

  #failed(refused) {
    this.#stop();
    if (this.#ended) return;
    this.#emit("state", { open: false, refused });
    const wait = refused ? REFUSED_MS : RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)] * (0.75 + Math.random() / 2);
    this.#timer = setTimeout(() => {
      if (refused) this.#emit("poll");
      this.#start();
    }, wait);
  }

  #stop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
  }
}
