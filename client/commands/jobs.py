"""`mimeo jobs`, `mimeo show`, and operations on jobs: cancel, pause, resume, retry, delete."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from client.connection import JsonOption, LimitOption, connect
from client.errors import BadInput
from client.formatting import (
    ago,
    duration,
    figure,
    metrics_line,
    progress_line,
    requirements,
    size,
    wait_reason,
    warning_facts,
)
from client.headlines import Headlines, shown_metrics
from client.http import Client
from client.output import facts, heading, line, print_json, remark, table
from client.schema import Event, Job

SHOWN_EVENTS = 15


def jobs(
    context: typer.Context,
    *,
    kind: Annotated[str, typer.Option(help="training or generation.")] = "training",
    status: Annotated[list[str] | None, typer.Option(help="Only jobs of this status. Repeatable.")] = None,
    model_type: Annotated[str | None, typer.Option(help="Only jobs of this model type.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only jobs with these words in name, id, dataset or metadata.")
    ] = None,
    sort: Annotated[str | None, typer.Option(help="newest (default), oldest, name or status.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List jobs, the newest first unless sorted otherwise."""
    if kind not in {"training", "generation"}:
        raise typer.BadParameter("choose training or generation", param_hint="--kind")
    with connect(context) as client:
        fetch = client.training_jobs if kind == "training" else client.generation_jobs
        page = fetch(status=status, model_type=model_type, q=search, sort=sort, limit=limit)
        if as_json:
            for job in page["data"]:
                print_json(job)
            return
        names = Headlines(client).metrics
        rows = [_row(job, shown_metrics(job, names)) for job in page["data"]]
    table(("id", "model type", "dataset" if kind == "training" else "model", "status", "created"), rows)
    if page["has_more"]:
        remark(f"There are more: --limit {min(100, limit * 2)} shows them.")


def _row(job: Job, names: Sequence[str] | None) -> tuple[object, ...]:
    source = job.get("dataset") or job["model"] or "–"
    return job["id"], job["model_type"], source, progress_line(job, names), ago(job["created_at"])


def show(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="A training or generation job, or a model (mdl_…).")],
    history: Annotated[
        bool, typer.Option("--history", help=f"The whole history, not only the last {SHOWN_EVENTS} events.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one job or model, with its history."""
    with connect(context) as client:
        if job_id.startswith("mdl_"):
            _show_model(client, job_id, as_json=as_json)
            return
        job = client.job(job_id)
        if as_json:
            print_json(job)
            return
        names = Headlines(client).metrics(job["model_type"])
        _show_job(job, names)
        _show_history(client, job, names, whole=history)


def _show_job(job: Job, names: Sequence[str] | None) -> None:
    error = job["error"]
    facts(
        [
            ("id", job["id"]),
            ("name", job["name"]),
            ("model type", job["model_type"]),
            ("dataset", job.get("dataset")),
            ("preset", job.get("preset")),
            ("status", progress_line(job, names)),
            ("waits", wait_reason(job) or None),
            ("requires", requirements(job) or None),
            ("attempt", f"{job['attempt']} of {job['max_attempts']}" if job["attempt"] else None),
            ("device", job["device"]),
            ("seed", job["seed"]),
            ("created", ago(job["created_at"])),
            ("took", duration(job["duration_s"])),
            ("model", job["model"]),
            ("error", f"{error['message']} ({error['code']})" if error else None),
            ("hint", error["hint"] if error else None),
            *warning_facts(job.get("warnings")),
            ("output", _output(job)),
            *(
                (f"  {name}", value)
                for name, value in (job.get("hyperparameters") or job.get("sampling") or {}).items()
            ),
        ]
    )


def _output(job: Job) -> str | None:
    """The beginning of the first text of a generation."""
    output = job.get("output") or {}
    return f"{output['text']} …" if output.get("truncated") and "text" in output else output.get("text")


def _show_history(client: Client, job: Job, names: Sequence[str] | None, *, whole: bool) -> None:
    events = client.events(job["id"])
    earlier = 0 if whole else max(0, len(events) - SHOWN_EVENTS)
    if events:
        heading("History")
        table(("when", "attempt", "event", "message"), [_event_row(event) for event in events[earlier:]])
    if earlier:
        remark(f"{earlier} earlier: mimeo show {job['id']} --history")
    checkpoints = client.checkpoints(job["id"]) if job["object"] == "training_job" else []
    if checkpoints:
        heading("Checkpoints")
        rows = [
            (
                item["id"],
                item["epoch"],
                item["step"],
                metrics_line(item["metrics"], names),
                "best" if item["is_best"] else "",
                size(item["size"]),
            )
            for item in checkpoints
        ]
        table(("id", "epoch", "step", "metrics", "", "size"), rows)


def _event_row(event: Event) -> tuple[object, ...]:
    return ago(event["at"]), event["attempt"], event["type"], event["message"]


def _show_model(client: Client, model_id: str, *, as_json: bool) -> None:
    model = client.model(model_id)
    if as_json:
        print_json(model)
        return
    facts(
        [
            ("id", model["id"]),
            ("name", model["name"]),
            ("model type", model["model_type"]),
            ("dataset", model["dataset"]),
            ("source", model.get("source")),
            ("training job", model["training_job"]),
            ("checkpoint", model["checkpoint"]["id"]),
            ("sha256", model["checkpoint"]["sha256"]),
            ("device", model["device"]),
            ("created", ago(model["created_at"])),
            *warning_facts(model.get("warnings")),
            *((name, figure(value)) for name, value in model["quality"].items()),
            *((f"  {name}", value) for name, value in model["hyperparameters"].items()),
        ]
    )


JobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="Training or generation jobs.")]
TrainingJobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="Training jobs (trn_…).")]


SomeJobsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[JOB]...", help="Training or generation jobs.", show_default=False)
]


def cancel(
    context: typer.Context,
    jobs: SomeJobsArgument = None,
    all_queued: Annotated[bool, typer.Option("--all-queued", help="All jobs that wait, of both kinds.")] = False,
    model_type: Annotated[str | None, typer.Option(help="With --all-queued: only jobs of this model type.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel jobs. Their results so far remain, and a training job can be retried."""
    if all_queued == bool(jobs) or (model_type and not all_queued):
        raise BadInput("name the jobs, or give --all-queued, with --model-type for those of one model type")
    if jobs:
        _ask(context, jobs, Client.cancel, as_json=as_json)
        return
    with connect(context) as client:
        counts = {
            kind: client.cancel_all(kind, status="queued", model_type=model_type) for kind in ("training", "generation")
        }
    if as_json:
        print_json(counts)
    else:
        line(", ".join(f"{count} {kind} jobs cancelled" for kind, count in counts.items()))


def priority(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="A training or generation job.")],
    priority: Annotated[str, typer.Argument(help="low, normal or high.")],
    as_json: JsonOption = False,
) -> None:
    """Change the priority of a job that waits."""
    _ask(context, [job], lambda client, job_id: client.change(job_id, {"priority": priority}), as_json=as_json)


def pause(context: typer.Context, jobs: TrainingJobsArgument, as_json: JsonOption = False) -> None:
    """Pause training jobs until they are resumed. A running job writes a checkpoint and releases its worker."""
    _ask(context, _training_jobs(jobs, "paused"), Client.pause, as_json=as_json)


def resume(context: typer.Context, jobs: TrainingJobsArgument, as_json: JsonOption = False) -> None:
    """Resume paused training jobs exactly where they stopped."""
    _ask(context, _training_jobs(jobs, "resumed"), Client.resume, as_json=as_json)


def retry(context: typer.Context, jobs: TrainingJobsArgument, as_json: JsonOption = False) -> None:
    """Run failed or cancelled training jobs again, from their last valid checkpoints."""
    _ask(context, _training_jobs(jobs, "retried"), Client.retry, as_json=as_json)


def delete(context: typer.Context, jobs: JobsArgument, as_json: JsonOption = False) -> None:
    """Delete ended jobs with their history, files and models, or imported models. This cannot be undone."""
    with connect(context) as client:
        for job_id in jobs:
            if job_id.startswith("mdl_"):
                owner = client.model(job_id)["training_job"]
                if owner is not None:
                    raise BadInput(f"{job_id} is deleted with its training job: mimeo delete {owner}")
                client.delete_model(job_id)
            else:
                client.delete(job_id)
            if as_json:
                print_json({"id": job_id, "deleted": True})
            else:
                line(f"{job_id}  deleted")


def _training_jobs(job_ids: list[str], what: str) -> list[str]:
    """The ids. Raises BadInput for an id of another kind."""
    for job_id in job_ids:
        if not job_id.startswith("trn_"):
            raise BadInput(f"{job_id}: only training jobs (trn_…) can be {what}")
    return job_ids


def _ask(context: typer.Context, job_ids: list[str], ask: Callable[[Client, str], Job], *, as_json: bool) -> None:
    with connect(context) as client:
        for job_id in job_ids:
            job = ask(client, job_id)
            if as_json:
                print_json(job)
            else:
                line(f"{job['id']}  {job['status']}")
