// Requests to the API. A refusal becomes a Problem, a lost server an Offline.
import { BASE, at } from "./address.js";

/** An RFC 9457 problem: status, code, detail, errors [{pointer, detail}] and the id of the request. */
export class Problem extends Error {
  constructor(status, body, requestId) {
    super(body.detail ?? body.title ?? `The server answered ${status}.`);
    Object.assign(this, { status, code: body.code, errors: body.errors ?? [], requestId });
  }
}

/** The server did not answer. */
export class Offline extends Error {}

/** Go to the login page, and from there back to this one. */
function logIn() {
  const here = location.pathname.slice(BASE.length) + location.search;
  location.assign(`${BASE}/login?next=${encodeURIComponent(here)}`);
}

/** The response of a request. json: a body to send. Throws Problem, Offline. */
export async function send(method, path, { json, body, headers = {}, signal } = {}) {
  const options = { method, headers: { Accept: "application/json", ...headers }, signal };
  if (json !== undefined) {
    options.body = JSON.stringify(json);
    options.headers["Content-Type"] = "application/json";
  } else if (body !== undefined) options.body = body;
  let response;
  try {
    response = await fetch(path.startsWith("/v1") ? at(path) : path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Offline("The server does not answer.");
  }
  if (response.ok || response.status === 304) return response;
  if (response.status === 401 && document.documentElement.dataset.page !== "login") logIn();
  const text = await response.text();
  let problem = {};
  try { problem = JSON.parse(text); } catch { /* a proxy answered with HTML */ }
  throw new Problem(response.status, problem, response.headers.get("X-Request-Id"));
}

/** The JSON of a GET. */
export const get = async (path, options) => (await send("GET", path, options)).json();

/** The JSON answer of a POST, PATCH or DELETE; null without a body. */
export async function change(method, path, json, options = {}) {
  const response = await send(method, path, { json, ...options });
  return response.status === 204 ? null : response.json();
}

/** Every item of a paged list, `most` of them. */
export async function all(path, most = 10000) {
  const items = [];
  let next = path;
  while (next && items.length < most) {
    const response = await send("GET", next);
    items.push(...(await response.json()).data);
    next = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
  }
  return items;
}
