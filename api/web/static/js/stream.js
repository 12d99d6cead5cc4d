// A stream of server-sent events that survives a lost server and a hidden tab. Tabs of one browser share connections.
import { ASSETS, OWNER, at } from "./address.js";
import { Source } from "./stream-source.js";

let port = null, ids = 0;
const listeners = new Map(); // id → emit

/** Open a stream through the worker that all tabs share, or directly where a browser has none. Returns its end. */
function connect(request, emit) {
  if (!globalThis.SharedWorker) {
    const source = new Source(request.address, request.names, request.after, emit);
    return () => source.close();
  }
  if (!port) {
    port = new SharedWorker(`${ASSETS}/js/stream-worker.js`, { type: "module", name: OWNER }).port; // one for each login
    port.onmessage = ({ data }) => listeners.get(data.id)?.(data.kind, data.payload);
  }
  const id = ++ids;
  listeners.set(id, emit);
  port.postMessage({ id, open: request });
  return () => {
    listeners.delete(id);
    port.postMessage({ id });
  };
}

const READY_MS = 400;

/**
 * Dispatches each event of the server under its name with the parsed data, and `state` with {open, refused}.
 * `fresh` is dispatched where a stream without a position opens after `ready()`: its records have to be read again.
 * While there is no stream for this tab, `poll` is dispatched every few seconds.
 */
export class Stream extends EventTarget {
  #path; #names; #last = null; #end = null; #ended = false; #isRead = false; #known; #seen; #left;

  constructor(path, names) {
    super();
    this.#path = path;
    this.#names = names;
    const state = new Promise((known) => this.addEventListener("state", known, { once: true }));
    this.#known = Promise.race([state, new Promise((late) => setTimeout(late, READY_MS))]).then(() => (this.#isRead = true));
    this.#seen = () => (document.hidden ? this.#stop() : this.#start());
    this.#left = () => this.#stop();
    document.addEventListener("visibilitychange", this.#seen);
    addEventListener("pageshow", this.#seen);
    addEventListener("pagehide", this.#left);
    this.#start();
  }

  /** Stop for good. */
  close() {
    this.#ended = true;
    document.removeEventListener("visibilitychange", this.#seen);
    removeEventListener("pageshow", this.#seen);
    removeEventListener("pagehide", this.#left);
    this.#stop();
    this.#report(false);
  }

  /** Wait until the stream is open or lost, a moment at most. Records that are read then leave no gap before its events. */
  ready() {
    return this.#known;
  }

  #start() {
    if (this.#end || this.#ended || document.hidden) return;
    const request = { address: at(this.#path), names: this.#names, after: this.#last, single: this.#path !== OVERVIEW };
    this.#end = connect(request, (kind, payload) => this.#take(kind, payload));
  }

  #take(kind, payload) {
    if (kind === "event") {
      const { name, data, id } = payload;
      this.#last = name === "resync" ? null : (id ?? this.#last);
      if (name === "end") this.close();
      this.dispatchEvent(new CustomEvent(name === "missed" ? "poll" : name, { detail: data }));
    } else if (kind === "state") {
      this.dispatchEvent(new CustomEvent("state", { detail: payload }));
      this.#report(payload.refused);
      if (payload.fresh && this.#isRead) this.dispatchEvent(new CustomEvent("fresh"));
    } else this.dispatchEvent(new CustomEvent("poll"));
  }

  #stop() {
    this.#end?.();
    this.#end = null;
  }

  /** Report to the page's frame whether the server refuses this stream. */
  #report(refused) {
    dispatchEvent(new CustomEvent("streamstate", { detail: { path: this.#path, refused } }));
  }
}

const OVERVIEW = "/v1/jobs/stream";
let shared = null;
/** The one stream of all jobs in this tab. Events: job, deleted, queue, resync (also where lists have to be read again), state. */
export function overview() {
  if (!shared) {
    shared = new Stream(OVERVIEW, ["job", "deleted", "queue", "resync"]);
    for (const name of ["poll", "fresh"]) shared.addEventListener(name, () => shared.dispatchEvent(new CustomEvent("resync", { detail: {} })));
  }
  return shared;
}
