// Latents of test images, from a generation job of mode `encode`.
import { change, get } from "../api.js";
import { at } from "../address.js";

const IMAGES = 300;
const WAIT_S = 30;

// Ten colours that differ in lightness too, on a black plane (after Okabe and Ito, 2008).
export const COLOURS = ["#E69F00", "#56B4E9", "#2FBF8F", "#F0E442", "#3D8BFF", "#FF6A2B", "#E58FC0", "#FFFFFF", "#B08CFF", "#9A9A9A"];

/** Values of a float32 .npy file (format 1.0 or 2.0) of two axes, as rows. */
export function rowsOf(buffer) {
  const view = new DataView(buffer);
  const long = view.getUint8(6) >= 2;
  const start = (long ? 12 : 10) + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(new Uint8Array(buffer, 0, start));
  const [, count, width] = /\((\d+), (\d+)\)/.exec(header).map(Number);
  return Array.from({ length: count }, (_, row) => Array.from({ length: width }, (_, i) => view.getFloat32(start + 4 * (row * width + i), true)));
}

/** The first test images as {z, label}, and the names of the classes. Throws Problem, Offline, Error. */
export async function cloud(model) {
  let indices = Array.from({ length: IMAGES }, (_, i) => i);
  const encode = (indices) => change("POST", "/v1/generation-jobs", { model, sampling: { mode: "encode", indices }, seed: 0 }, { headers: { Prefer: `wait=${WAIT_S}` } });
  let job = await encode(indices);
  const last = /are 0 to (\d+)/.exec(job.error?.message ?? "");
  if (last) job = await encode(indices.slice(0, +last[1] + 1)); // a smaller test set
  while (!job.is_terminal) {
    await new Promise((resolve) => setTimeout(resolve, 1000));
    job = await get(`/v1/generation-jobs/${job.id}`);
  }
  if (job.status !== "succeeded") throw new Error(`The test images could not be encoded. ${job.error?.message ?? ""}`);
  const file = job.artifacts.find(({ name }) => name.endsWith("mean.npy"));
  const means = rowsOf(await (await fetch(at(`/v1/artifacts/${file.id}/content`))).arrayBuffer());
  const { labels, class_names: names } = job.output;
  return { dots: means.map((z, i) => ({ z, label: labels[i] })), names };
}

/** The dot nearest to a latent. */
export function nearest(dots, z) {
  let best = null, least = Infinity;
  for (const dot of dots) {
    const distance = dot.z.reduce((sum, value, i) => sum + (value - z[i]) ** 2, 0);
    if (distance < least) [best, least] = [dot, distance];
  }
  return best;
}
