// A stream of server-sent events that survives a lost server and a hidden tab.
import { at } from "./address.js";

const RETRY_MS = [500, 1000, 2000, 3000];

/** Dispatches each event of the server under its name with the parsed data, and `state` with {open}. */
export class Stream extends EventTarget {
  #path; #names; #source = null; #last = null; #failures = 0; #timer = 0; #ended = false; #hidden;

  constructor(path, names) {
    super();
    this.#path = path;
    this.#names = names;
    this.#hidden = () => (document.hidden ? this.#stop() : this.#start());
    document.addEventListener("visibilitychange", this.#hidden);
    addEventListener("online", () => this.#start());
    this.#start();
  }

  /** Stop for good. */
  close() {
    this.#ended = true;
    document.removeEventListener("visibilitychange", this.#hidden);
    this.#stop();
  }

  /** Forget the position: the next connection starts from the present state. */
  restart() {
    this.#last = null;
    this.#stop();
    this.#start();
  }

  #start() {
    if (this.#source || this.#ended || document.hidden) return;
    clearTimeout(this.#timer);
    const address = at(this.#path) + (this.#last ? `?after=${encodeURIComponent(this.#last)}` : "");
    const source = (this.#source = new EventSource(address));
    source.onopen = () => {
      this.#failures = 0;
      this.#state(true);
    };
    source.onerror = () => this.#lost();
    for (const name of this.#names)
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.#last = event.lastEventId;
        if (name === "end") this.close();
        this.dispatchEvent(new CustomEvent(name, { detail: JSON.parse(event.data) }));
      });
  }

  #lost() {
    this.#stop();
    this.#state(false);
    if (this.#ended) return;
    const wait = RETRY_MS[Math.min(this.#failures++, RETRY_MS.length - 1)];
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#start(), wait * (0.75 + Math.random() / 2));
  }

  #stop() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
  }

  #state(open) {
    this.dispatchEvent(new CustomEvent("state", { detail: { open } }));
  }
}

let shared = null;
/** The one stream of all jobs in this tab. Events: job, deleted, queue, resync, state. */
export const overview = () => (shared ??= new Stream("/v1/jobs/stream", ["job", "deleted", "queue", "resync"]));
