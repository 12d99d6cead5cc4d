// A model's ONNX graphs in this browser. Graphs are fetched from the API, which makes them at the first request.
import { Problem, send } from "./api.js";

export class Graphs {
  #worker; #calls = new Map(); #next = 0; #loaded = new Map();

  constructor(model) {
    this.model = model;
  }

  /** Fetch and prepare a graph; returns its metadata. Throws Problem, Offline. */
  load(part) {
    if (!this.#loaded.has(part)) this.#loaded.set(part, this.#load(part));
    return this.#loaded.get(part);
  }

  async #load(part) {
    const bytes = await this.#fetch(part);
    return this.#call("load", { name: part, bytes }, [bytes]);
  }

  async #fetch(part) {
    for (let tries = 0; ; tries++) {
      try {
        return await (await send("GET", `/v1/models/${this.model}/export?format=onnx&part=${part}`)).arrayBuffer();
      } catch (error) {
        if (!(error instanceof Problem && error.code === "export_pending" && tries < 30)) throw error;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
  }

  /** Run a graph. feeds: {name: {type, data, dims}}. Returns {name: {data, dims}}. */
  run(part, feeds) {
    return this.#call("run", { name: part, feeds });
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

/** Runs the newest request only: while one runs, later ones replace each other. */
export function newestOnly(run) {
  let busy = false, next = null;
  return async function request(given) {
    if (busy) {
      next = { given };
      return;
    }
    busy = true;
    try {
      await run(given);
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

/** float32 latents [rows, size] as a feed. */
export const latents = (rows, size) => ({ type: "float32", data: Float32Array.from(rows.flat()), dims: [rows.length, size] });
