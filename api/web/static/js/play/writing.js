// Text that the server writes for one column of the text playground.
import { Offline, change, get } from "../api.js";
import { Stream } from "../stream.js";

const EVENTS = ["job", "text", "resync", "deleted", "end"];

/** One generation job. Its text arrives while it is written; stop cancels it. */
export class Writing {
  job = null;
  text = ""; // written so far
  count = 0; // of its characters
  #isStopped = false;

  /** Submit a job and follow it to its end; returns it. onText: called after each part. Throws Problem, Offline, Error. */
  async run(model, sampling, seed, onText) {
    this.job = await change("POST", "/v1/generation-jobs", { model, sampling, seed, priority: "high" });
    onText();
    if (this.#isStopped) await this.#cancel();
    if (!this.job.is_terminal) await this.#followed(onText);
    if (this.job.status === "failed") throw new Error(`${this.job.error.message} ${this.job.error.hint ?? ""}`);
    return this.job;
  }

  /** Cancel the job; what is written stays in `text`. */
  stop() {
    this.#isStopped = true;
    if (this.job) this.#cancel();
  }

  #followed(onText) {
    const path = `/v1/generation-jobs/${this.job.id}`, stream = new Stream(`${path}/stream`, EVENTS);
    const ended = new Promise((resolve, reject) => {
      const take = (job) => ((this.job = job), job.is_terminal && resolve());
      stream.addEventListener("job", ({ detail }) => take(detail));
      stream.addEventListener("text", ({ detail }) => this.#take(detail) && onText());
      stream.addEventListener("resync", () => stream.restart());
      stream.addEventListener("deleted", () => reject(new Error("The job was deleted.")));
      stream.addEventListener("poll", () => get(path).then(take, (error) => error instanceof Offline || reject(error)));
    });
    return ended.finally(() => stream.close());
  }

  /** Add a part of the text. After a lost part, later ones wait for the job's output. start: in characters. */
  #take({ start, texts: [part] }) {
    if (start > this.count) return false;
    if (start === 0) this.text = "";
    else if (start < this.count) this.text = [...this.text].slice(0, start).join("");
    this.text += part;
    this.count = start + [...part].length;
    return true;
  }

  async #cancel() {
    try {
      this.job = await change("POST", `/v1/generation-jobs/${this.job.id}/cancel`);
    } catch { /* it has ended, or its stream reports what happens */ }
  }
}

/** The whole text of a job: its output has the head of a long one, its file everything. */
export async function textOf(job) {
  if (!job.output?.truncated) return job.output?.text ?? "";
  const file = job.artifacts.find(({ name }) => name.endsWith(".txt"));
  return (await fetch(file.urls.content)).text();
}
