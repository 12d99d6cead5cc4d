// Text that the server writes for one column of the text playground.
import { change, get } from "../api.js";

const FIRST_POLL_MS = 100, LAST_POLL_MS = 1000;

/** One generation job. Stop cancels it. */
export class Writing {
  job = null; #stopped = false;

  /** Submit and wait for the end; returns the job. Throws Problem, Offline, Error. */
  async run(model, sampling, seed) {
    this.job = await change("POST", "/v1/generation-jobs", { model, sampling, seed, priority: "high" });
    for (let pause = FIRST_POLL_MS; !this.job.is_terminal; pause = Math.min(LAST_POLL_MS, 1.5 * pause)) {
      if (this.#stopped) await this.#cancel();
      await new Promise((resolve) => setTimeout(resolve, pause));
      this.job = await get(`/v1/generation-jobs/${this.job.id}`);
    }
    if (this.job.status === "failed") throw new Error(`${this.job.error.message} ${this.job.error.hint ?? ""}`);
    return this.job;
  }

  stop() {
    this.#stopped = true;
  }

  async #cancel() {
    this.#stopped = false;
    await change("POST", `/v1/generation-jobs/${this.job.id}/cancel`);
  }
}

/** The whole text of a job: its output has the head of a long one, its file everything. */
export async function textOf(job) {
  if (!job.output?.truncated) return job.output?.text ?? "";
  const file = job.artifacts.find(({ name }) => name.endsWith(".txt"));
  return (await fetch(file.urls.content)).text();
}

/** Save a text with the facts that repeat it. */
export function saveText(name, facts, text) {
  const head = Object.entries(facts).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${head.join("\n")}\n\n${text}`], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
