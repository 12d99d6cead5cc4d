// A model's ONNX graphs in this browser. Graphs are fetched from the API, which makes them at the first request.
import { send } from "./api.js";
import { ordinal } from "./format.js";

const HOLD_S = 3; // of a request while the file is being created
const PAUSE_MS = 1000;

export class Graphs {
  #worker; #calls = new Map(); #next = 0; #loaded = new Map();

  /** onState: receives a sentence on the export while it is pending. */
  constructor(model, onState = () => {}) {
    this.model = model;
    this.onState = onState;
  }

  /** Fetch and prepare a graph; returns its inputs, outputs and metadata. Throws Problem, Offline, Error. */
  load(part) {
    if (!this.#loaded.has(part)) this.#loaded.set(part, this.#load(part));
    return this.#loaded.get(part);
  }

  async #load(part) {
    const engine = this.#call("start", {}); // compiles the engine while the file is being created
    engine.catch(() => {}); // reported by the next call
    const bytes = await this.#fetch(part);
    await engine;
    return this.#call("load", { name: part, bytes }, [bytes]);
  }

  async #fetch(part) {
    for (;;) {
      const began = performance.now();
      const response = await send("GET", `/v1/models/${this.model}/export?format=onnx&part=${part}`, { headers: { Prefer: `respond-async, wait=${HOLD_S}` } });
      if (response.status !== 202) return response.arrayBuffer();
      const job = await response.json();
      this.onState(job.status === "running" ? "A worker is exporting the model …" : `The export waits for a generation worker${job.queue_position ? `: ${ordinal(job.queue_position)} in the queue` : ""} …`);
      // A server with too many waiting requests answers at once.
      if (performance.now() - began < PAUSE_MS) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Run a graph. feeds: {name: {type, data, dims}}. Returns {name: {data, dims}}. */
  run(part, feeds) {
    return this.#call("run", { name: part, feeds });
  }

  /** Run a step graph for each id in turn. state: of an earlier call; zeros without it. Returns {logits: Float32Array [ids × V], state}. */
  sequence(part, ids, sizes, state = null) {
    return this.#call("sequence", { name: part, ids, sizes, state });
  }

  #call(action, given, transfer = []) {
    this.#worker ??= this.#start();
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#worker.postMessage({ id, action, ...given }, transfer);
    });
  }

  #start() {
    const worker = new Worker(new URL("./inference-worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data: { id, result, error } }) => {
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (error === undefined) call.resolve(result);
      else call.reject(new Error(error));
    };
    worker.onerror = (event) => {
      for (const { reject } of this.#calls.values()) reject(new Error(event.message || "The inference engine did not start."));
      this.#calls.clear();
    };
    return worker;
  }
}

/** Runs the newest request only: while one runs, later ones replace each other. onError: receives what a run throws. */
export function newestOnly(run, onError) {
  let busy = false, next = null;
  return async function request(given) {
    if (busy) {
      next = { given };
      return;
    }
    busy = true;
    try {
      await run(given);
    } catch (error) {
      onError(error);
    } finally {
      busy = false;
      if (next) {
        const { given: newest } = next;
        next = null;
        request(newest);
      }
    }
  };
}

/** Record the time from an input to the frame that shows its result, as the measure `picture` of the browser's performance timeline. */
export function measured(start) {
  requestAnimationFrame(() => {
    if (performance.getEntriesByName("picture").length > 1000) performance.clearMeasures("picture");
    performance.measure("picture", { start, end: performance.now() });
  });
}

/** float32 latents [rows, size] as a feed. */
export const latents = (rows, size) => ({ type: "float32", data: Float32Array.from(rows.flat()), dims: [rows.length, size] });
