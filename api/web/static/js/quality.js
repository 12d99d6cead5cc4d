// Quality figures of a model: value, band and meaning.
import { html, nothing } from "./lib.js";
import { figure } from "./format.js";
import { coded } from "./status.js";

const ICONS = { good: "▲", usual: "■", poor: "▼" };

/** "good", "usual" or "poor"; null for a figure without bands. docs: of the model type. */
export function bandOf(docs, value) {
  if (!docs?.bands || typeof value !== "number") return null;
  const isWithin = (bound) => (docs.better === "lower" ? value <= bound : value >= bound);
  return isWithin(docs.bands.good) ? "good" : isWithin(docs.bands.usual) ? "usual" : "poor";
}

/** The band as icon and word. */
export function bandMark(docs, value) {
  const band = bandOf(docs, value);
  return band ? html`<span class="band ${band}" data-icon=${ICONS[band]}>${band}</span>` : nothing;
}

/** All figures, each with a sentence. docs: of all figures of the model type. */
export function qualityList(quality, docs) {
  const known = new Map(docs.map((each) => [each.name, each]));
  return html`<dl class="quality">${Object.entries(quality).map(([name, value]) => html`<div data-quality=${name}>
    <dt>${name.replaceAll("_", " ")}</dt><dd><strong>${typeof value === "number" ? figure(value) : String(value)}</strong> ${bandMark(known.get(name), value)}</dd>
    <dd class="muted">${coded(known.get(name)?.meaning)}</dd></div>`)}</dl>`;
}
