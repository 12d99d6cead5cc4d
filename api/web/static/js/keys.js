// The list of keys, opened with "?".
import { html, render } from "./lib.js";

const KEYS = [
  ["?", "this list"],
  ["Space", "film: play or pause"],
  ["← →", "film and curves: the epoch before, the next one"],
  ["Home End", "film and curves: before training, the newest epoch"],
  ["Esc", "curves: the whole curve again; dialogs: close"],
  ["arrow keys", "latent plane: move the point; sliders: one step"],
  ["Tab", "the next control"],
];

let dialog = null;

/** Open the list, or close it. */
export function toggleKeys() {
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.className = "keys";
    dialog.setAttribute("aria-label", "Keys");
    document.body.append(dialog);
    render(html`<h2>Keys</h2><dl class="facts">${KEYS.map(([key, meaning]) => html`<dt><kbd>${key}</kbd></dt><dd>${meaning}</dd>`)}</dl>
      <button @click=${() => dialog.close()}>Close</button>`, dialog);
  }
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches?.("input:not([type=range], [type=checkbox]), textarea, select, [contenteditable]")) return;
  event.preventDefault();
  toggleKeys();
});
