// A job's status as icon, word and colour, and a sentence about it.
import { html } from "./lib.js";
import { duration, ordinal } from "./format.js";

const ICONS = { queued: "◷", running: "●", pausing: "◐", paused: "‖", cancelling: "◌", cancelled: "○", succeeded: "✓", failed: "✕" };

export const statusOf = (job) => html`<span class="status ${job.status}" data-icon=${ICONS[job.status] ?? "·"}>${job.status}</span>`;

/** Why a queued job has no turn; empty where it only waits for a worker to become free. */
function waitReason(job) {
  if (job.waiting_for === "running_quota") return "waits for one of your running jobs to end";
  if (job.waiting_for !== "able_worker") return "";
  const needs = [...(job.requested_device === "auto" ? [] : [job.requested_device]), ...(job.requires ?? [])];
  return needs.length ? `no running worker has ${needs.join(", ")}` : "no running worker can run it";
}

/** A message whose names between backticks are shown as code. */
export const coded = (text) => (text ?? "").split("`").map((part, place) => (place % 2 ? html`<code>${part}</code>` : part));

/** A setting as a person writes it. */
export const setting = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** What a person may want to know about the job's progress, in a few words. queue: of the live stream. */
export function progressWords(job, queue) {
  const progress = job.progress ?? {};
  switch (job.status) {
    case "queued": {
      if (queue && queue.training.workers === 0) return "no worker is running: mimeo up";
      const reason = waitReason(job);
      if (reason) return reason;
      const place = queue ? queue.positions.indexOf(job.id) + 1 : 0;
      return place > 0 ? `${ordinal(place)} in the queue` : job.queue_position ? `${ordinal(job.queue_position)} in the queue` : "waits to be tried again";
    }
    case "running": {
      if (!progress.steps) return "starting";
      if (progress.fraction >= 1) return "finishing: quality and model";
      const left = progress.eta_s == null ? "" : ` · ${duration(progress.eta_s)} left`;
      return `${Math.round(progress.fraction * 100)} %${left}`;
    }
    case "succeeded": return `in ${duration(job.duration_s)}`;
    case "failed": return job.error?.code ?? "";
    default: return progress.steps ? `${Math.round(progress.fraction * 100)} %` : "";
  }
}
