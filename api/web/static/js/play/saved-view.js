// Facts in the files that a playground saves, and the view that they open when they are dropped on a playground.
import { BASE } from "../address.js";
import { isPng, textIn } from "../png.js";

const VIEW = /^view: (\/play\/(?:mdl|trn)_\w+(?:\?\S*)?)$/m;
const HEAD = 65536; // characters of a text

/** Lines "key: value": the model, its checkpoint, more facts, and the address of the view. */
export function facts(model, more = {}) {
  const all = { model: model.id, checkpoint: model.checkpoint?.id ?? null, ...more, view: location.pathname.slice(BASE.length) + location.search };
  return Object.entries(all).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n");
}

/** The address of the view in a saved file; null for another file. */
async function viewOf(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const text = isPng(bytes) ? textIn(bytes, "mimeo") : new TextDecoder().decode(bytes.subarray(0, HEAD));
  return VIEW.exec(text ?? "")?.[1] ?? null;
}

/** Open the view of a file that is dropped on the page. refused: called with a sentence for another file. */
export function acceptDrops(refused) {
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (!file) return;
    const view = await viewOf(file);
    if (view) location.assign(BASE + view);
    else refused(`${file.name} was not saved by a playground, or its text was changed.`);
  });
}
