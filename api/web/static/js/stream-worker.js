// The streams of all tabs of one browser, which opens at most six connections to a server.
import { Source } from "./stream-source.js";

const MOST = 3; // streams of single jobs at once; one more is of all jobs, two connections are left for requests
const CROWDED_MS = 2000; // between two reads of a page whose stream has no connection

const shared = new Map(); // address → {source, takers: Map(taker → emit), latest: Map(event → payload), state}

function subscribe(taker, { address, names, after, single }, emit) {
  const known = shared.get(address);
  if (known) {
    const take = after ? emit : beginning(emit);
    known.takers.set(taker, take);
    if (known.state) take("state", known.state);
    for (const payload of known.latest.values()) emit("event", payload);
    if (after) emit("event", { name: "missed", data: {}, id: null }); // the source is past this tab's position
    return () => leave(address, taker);
  }
  if (single && [...shared.values()].filter((each) => each.single).length >= MOST) return wait(taker, { address, names, after, single }, emit);
  const made = { single, takers: new Map([[taker, emit]]), latest: new Map(), state: null };
  shared.set(address, made);
  made.source = new Source(address, names, after, (kind, payload) => {
    if (kind === "state") made.state = payload;
    if (kind === "event" && (payload.name === "job" ? single : payload.name === "queue")) made.latest.set(payload.name, payload);
    for (const each of [...made.takers.values()]) each(kind, payload);
    if (kind === "event" && payload.name === "end") shared.delete(address);
  });
  return () => leave(address, taker);
}

/** The same emit; for this tab, the first opening is one without a position. */
function beginning(emit) {
  let begins = true;
  return (kind, payload) => {
    const fresh = begins && kind === "state" && payload.open;
    begins &&= !fresh;
    emit(kind, fresh ? { ...payload, fresh } : payload);
  };
}

function leave(address, taker) {
  const known = shared.get(address);
  if (!known?.takers.delete(taker) || known.takers.size) return;
  known.source.close();
  shared.delete(address);
}

/** Let the page poll until a connection is free. */
function wait(taker, request, emit) {
  let end = null;
  emit("state", { open: true, refused: false });
  const timer = setInterval(() => {
    emit("poll");
    if ([...shared.values()].filter((each) => each.single).length >= MOST && !shared.has(request.address)) return;
    clearInterval(timer);
    end = subscribe(taker, request, emit);
  }, CROWDED_MS);
  return () => (clearInterval(timer), end?.());
}

onconnect = ({ ports: [port] }) => {
  const ends = new Map();
  port.onmessage = ({ data }) => {
    if (data.open) ends.set(data.id, subscribe({}, data.open, (kind, payload) => port.postMessage({ id: data.id, kind, payload })));
    else {
      ends.get(data.id)?.();
      ends.delete(data.id);
    }
  };
};
