"""Numbers, times and jobs as text."""

from collections.abc import Sequence
from datetime import UTC, datetime

from client.schema import Artifact, Job, JobWarning, Measurements


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`; `–` for None."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 or seconds == whole else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def ago(moment: str | None, now: datetime | None = None) -> str:
    """Time since an RFC 3339 time."""
    if moment is None:
        return "–"
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    return f"{duration(max(0, round(seconds)))} ago"


def figure(value: float | None) -> str:
    """A number with four significant digits."""
    return "–" if value is None else f"{value:.4g}"


def size(count: int | None) -> str:
    """A size in bytes, kB or MB."""
    if count is None:
        return "–"
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def rate(per_second: float | None, unit: str = "") -> str:
    """`22,000/s`."""
    return "" if not per_second else f"{per_second:,.0f}{unit}/s"


def metrics_line(metrics: Measurements | None, names: Sequence[str] | None = None) -> str:
    """Metrics in the order of `names`, or all of them: `loss 28.4  val_loss 29.1`."""
    given = metrics or {}
    shown = [name for name in (given if names is None else names) if given.get(name) is not None]
    return "  ".join(f"{name} {figure(given[name])}" for name in shown)


def queue_position(job: Job) -> str:
    """`2`; `over 1,000` beyond the limit of the count; empty for a job without position."""
    position = job["queue_position"]
    if not position:
        return ""
    return f"{position:,}" if job.get("queue_position_is_exact", True) else f"over {position:,}"


def requirements(job: Job) -> str:
    """The device and the labels that a training asks of its worker: `cuda, a100`; empty for none."""
    device = job.get("requested_device", "auto")
    return ", ".join([*([] if device == "auto" else [device]), *job.get("requires", ())])


def wait_reason(job: Job) -> str:
    """Why a queued job waits, in words; empty where the server gives no reason."""
    match job.get("waiting_for"):
        case "running_quota":
            return "as many jobs run as you may have running"
        case "able_worker":
            needs = requirements(job)
            return f"no running worker can run it{f': it needs {needs}' if needs else ''}"
        case "worker":
            return "the workers that can run it are busy"
    return ""


def quality_line(quality: Measurements, names: Sequence[str] | None = None) -> str:
    """The figures of `names`, or all of them if the model has none of `names`."""
    shown = [name for name in names or () if name in quality] or list(quality)
    return "  ".join(f"{name} {figure(quality[name])}" for name in shown)


def progress_line(job: Job, names: Sequence[str] | None = None) -> str:
    """A job on one line, for pipes and logs. names: the metrics to show; None for all."""
    parts = [job["status"]]
    if job["status"] == "queued":
        position = queue_position(job)
        parts.append(f"position {position}" if position else "waiting for a worker")
        parts.append(wait_reason(job) if job.get("waiting_for") != "worker" else "")
    progress = job.get("progress")
    if progress and progress["steps"]:
        parts += [
            f"epoch {progress['epoch']}/{progress['epochs']}",
            f"step {progress['step']}/{progress['steps']}",
            f"{progress['fraction']:.0%}",
            metrics_line(job.get("metrics"), names),
            rate(progress["examples_per_s"]),
        ]
        if progress["eta_s"] is not None and not job["is_terminal"]:
            parts.append(f"eta {duration(progress['eta_s'])}")
    return "  ".join(part for part in parts if part)


def outcome(job: Job) -> str:
    """The result of a job, in one to three sentences."""
    if job["status"] == "succeeded":
        took = f" in {duration(job['duration_s'])}" if job["duration_s"] is not None else ""
        published = f": {job['model']}" if job["object"] == "training_job" else ""
        return f"{job['id']} succeeded{took}{published}{_warned(job)}"
    error = job["error"]
    if error is None:
        return f"{job['id']} {job['status']}"
    hint = f" {error['hint']}" if error["hint"] else ""
    return f"{job['id']} {job['status']}: {error['message']} ({error['code']}).{hint}"


def warning_facts(warnings: Sequence[JobWarning] | None) -> list[tuple[str, str]]:
    """A labelled line for each warning."""
    return [
        ("warning", f"{' '.join(filter(None, (warning['message'], warning['hint'])))} ({warning['code']})")
        for warning in warnings or ()
    ]


def _warned(job: Job) -> str:
    """` (2 warnings: mimeo show trn_…)`; empty without warnings."""
    count = len(job.get("warnings") or ())
    return f" ({count} warning{'s' if count > 1 else ''}: mimeo show {job['id']})" if count else ""


def sample_title(sample: Artifact) -> str:
    """Title of a sample: `epoch 3 · grid`, `epoch 3 · T = 0.25`."""
    details = sample["details"]
    if "temperature" in details:
        what = f"T = {details['temperature']:g}"
    else:
        what = sample["name"].rpartition(".")[0].removeprefix(f"epoch-{sample['epoch'] or 0:04}-")
    return f"epoch {sample['epoch']} · {what}" if sample["epoch"] is not None else what
