// Runs ONNX graphs of a model in a thread of its own, with onnxruntime's WebAssembly build.
import * as ort from "../vendor/onnxruntime-web/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = {
  mjs: new URL("../vendor/onnxruntime-web/ort-wasm-simd-threaded.mjs", import.meta.url).href,
  wasm: new URL("../vendor/onnxruntime-web/ort-wasm-simd-threaded.wasm", import.meta.url).href,
};
const sessions = new Map();

/** metadata_props of an ONNX file (field 14 of ModelProto: entries of key, field 1, and value, field 2). */
function metadata(bytes) {
  const text = new TextDecoder();
  const varint = (at) => {
    let value = 0, scale = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    return [value, at];
  };
  const fields = function* (at, end) {
    while (at < end) {
      let tag, size;
      [tag, at] = varint(at);
      const wire = tag & 7;
      if (wire === 0) [size, at] = varint(at);
      else if (wire === 2) {
        [size, at] = varint(at);
        yield [Math.floor(tag / 8), at, at + size];
        at += size;
      } else at += wire === 1 ? 8 : 4;
    }
  };
  const found = {};
  for (const [field, start, end] of fields(0, bytes.length)) {
    if (field !== 14) continue;
    const entry = {};
    for (const [part, from, to] of fields(start, end)) entry[part] = text.decode(bytes.subarray(from, to));
    found[entry[1]] = entry[2];
  }
  return found;
}

const actions = {
  /** Compile the engine: an empty model is invalid, and the error is of no interest. */
  async start() {
    await ort.InferenceSession.create(new Uint8Array(), { executionProviders: ["wasm"] }).catch(() => {});
  },
  async load({ name, bytes }) {
    const content = new Uint8Array(bytes);
    const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"], graphOptimizationLevel: "all" });
    sessions.set(name, session);
    return { inputs: session.inputNames, outputs: session.outputNames, metadata: metadata(content) };
  },
  async run({ name, feeds }) {
    const session = sessions.get(name);
    const tensors = Object.fromEntries(Object.entries(feeds).map(([key, { type, data, dims }]) => [key, new ort.Tensor(type, data, dims)]));
    const results = await session.run(tensors);
    return Object.fromEntries(Object.entries(results).map(([key, tensor]) => [key, { data: tensor.data, dims: tensor.dims }]));
  },
  /** A step graph: inputs `ids` and h0, c0, h1 …; outputs `logits` and h0_after …. sizes: units of the layers. */
  async sequence({ name, ids, sizes, state }) {
    const session = sessions.get(name);
    const names = session.inputNames.filter((each) => each !== "ids");
    let now = Object.fromEntries(names.map((each) => [each, new ort.Tensor("float32", state?.[each] ?? new Float32Array(sizes[+each.slice(1)]), [1, sizes[+each.slice(1)]])]));
    let logits = new Float32Array(0);
    for (const [place, id] of ids.entries()) {
      const results = await session.run({ ids: new ort.Tensor("int64", BigInt64Array.of(BigInt(id)), [1]), ...now });
      const row = results.logits.data;
      if (!place) logits = new Float32Array(ids.length * row.length);
      logits.set(row, place * row.length);
      now = Object.fromEntries(names.map((each) => [each, results[`${each}_after`]]));
    }
    return { logits, state: Object.fromEntries(names.map((each) => [each, now[each].data])) };
  },
};

let last = Promise.resolve();
onmessage = ({ data: { id, action, ...given } }) => {
  // onnxruntime runs one call at a time.
  last = last.then(async () => {
    try {
      const result = await actions[action](given);
      postMessage({ id, result });
    } catch (error) {
      postMessage({ id, error: String(error.message ?? error) });
    }
  });
};
