// The requests of the pages as commands for a shell.
import { html } from "./lib.js";
import { BASE } from "./address.js";

/** Text as one word of a shell. */
export const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;

/** A field and its value as an option of `mimeo`. */
export const option = (name, value) => `--${name.replaceAll("_", "-")} ${quoted(value)}`;

/** A POST of JSON with curl. */
export const curl = (path, body) => `curl -X POST ${location.origin}${BASE}${path} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body))}`;

/** A generation as `mimeo generate` and as curl. request: {model, sampling, seed?}. */
export function generation(request, out = "") {
  const fields = Object.entries(request.sampling).map(([name, value]) => (typeof value === "object" ? `--set ${quoted(`${name}=${JSON.stringify(value)}`)}` : option(name, value)));
  const line = [`mimeo generate ${request.model}`, ...fields, ...(request.seed === undefined ? [] : [`--seed ${request.seed}`]), ...(out ? [`--out ${out}`] : [])];
  return `${line.join(" \\\n  ")}\n\n${curl("/v1/generation-jobs", request)}`;
}

/** A part of a page that shows a command on request. */
export const asCommand = (text) => html`<details class="command"><summary>As command</summary><pre>${text}</pre></details>`;
