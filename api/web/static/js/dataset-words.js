// Words about a dataset that several pages use.
import { bytes, count } from "./format.js";

export const WORDS = { builtin: "built in", present: "on this machine", downloadable: "downloadable", missing: "not on this machine" };

/** "70,000 images in 10 classes", "1,115,394 characters, 65 distinct · 1.1 MB". */
export function contents({ kind, examples, classes, vocabulary, size }) {
  const words = [];
  if (examples) words.push(`${count(examples)} ${kind === "text" ? "characters" : "images"}`);
  if (classes) words.push(` in ${count(classes)} ${classes === 1 ? "class" : "classes"}`);
  if (vocabulary) words.push(`${words.length ? ", " : ""}${count(vocabulary)} distinct characters`);
  if (size) words.push(`${words.length ? " · " : ""}${bytes(size)}`);
  return words.join("");
}

/** The dataset that a form begins with: the type's default where it is on this machine or can be downloaded, else the built-in one. datasets: by name. */
export function usualDataset(type, datasets, usable = ["builtin", "present", "downloadable"]) {
  return usable.includes(datasets.get(type.default_dataset)?.availability) ? type.default_dataset : type.demo.fallback_dataset;
}
