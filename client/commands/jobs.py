"""`mimeo jobs`, `mimeo show` and `mimeo cancel`."""

from typing import Annotated

import typer

from client.commands.context import JsonOption, LimitOption, connect
from client.http import Client
from client.output import facts, out, print_json, remark, table
from client.schema import Event, Job
from client.wording import ago, duration, figure, metrics_line, progress_line, size

SHOWN_EVENTS = 15


def jobs(
    context: typer.Context,
    *,
    kind: Annotated[str, typer.Option(help="training or generation.")] = "training",
    status: Annotated[str | None, typer.Option(help="Only jobs of this status.")] = None,
    model_type: Annotated[str | None, typer.Option(help="Only jobs of this model type.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    if kind not in {"training", "generation"}:
        raise typer.BadParameter("choose training or generation", param_hint="--kind")
    with connect(context) as client:
        fetch = client.training_jobs if kind == "training" else client.generation_jobs
        page = fetch(status=status, model_type=model_type, limit=limit)
    if as_json:
        for job in page["data"]:
            print_json(job)
        return
    table(
        ("id", "model type", "dataset" if kind == "training" else "model", "status", "created"), map(_row, page["data"])
    )
    if page["has_more"]:
        remark(f"There are more: --limit {min(100, limit * 2)} shows them.")


def _row(job: Job) -> tuple[object, ...]:
    source = job.get("dataset") or job["model"] or "–"
    return job["id"], job["model_type"], source, progress_line(job), ago(job["created_at"])


def show(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="A training or generation job, or a model (mdl_…).")],
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
        _show_job(job)
        if job["object"] == "training_job":
            _show_history(client, job_id)


def _show_job(job: Job) -> None:
    error = job["error"]
    facts(
        [
            ("id", job["id"]),
            ("name", job["name"]),
            ("model type", job["model_type"]),
            ("dataset", job.get("dataset")),
            ("preset", job.get("preset")),
            ("status", progress_line(job)),
            ("attempt", f"{job['attempt']} of {job['max_attempts']}" if job["attempt"] else None),
            ("device", job["device"]),
            ("seed", job["seed"]),
            ("created", ago(job["created_at"])),
            ("took", duration(job["duration_s"])),
            ("model", job["model"]),
            ("error", f"{error['message']} ({error['code']})" if error else None),
            ("hint", error["hint"] if error else None),
            ("output", (job.get("output") or {}).get("text")),
            *(
                (f"  {name}", value)
                for name, value in (job.get("hyperparameters") or job.get("sampling") or {}).items()
            ),
        ]
    )


def _show_history(client: Client, job_id: str) -> None:
    events = client.events(job_id)
    if events:
        out.print("\n[bold]History[/bold]")
        table(("when", "attempt", "event", "message"), [_event_row(event) for event in events[-SHOWN_EVENTS:]])
    checkpoints = client.checkpoints(job_id)
    if checkpoints:
        out.print("\n[bold]Checkpoints[/bold]")
        rows = [
            (
                item["id"],
                item["epoch"],
                item["step"],
                metrics_line(item["metrics"]),
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
            ("training job", model["training_job"]),
            ("checkpoint", model["checkpoint"]["id"]),
            ("sha256", model["checkpoint"]["sha256"]),
            ("device", model["device"]),
            ("created", ago(model["created_at"])),
            *((name, figure(value)) for name, value in model["quality"].items()),
            *((f"  {name}", value) for name, value in model["hyperparameters"].items()),
        ]
    )


def cancel(
    context: typer.Context,
    job_ids: Annotated[list[str], typer.Argument(help="Jobs to end.")],
    as_json: JsonOption = False,
) -> None:
    """End jobs. What they have written so far stays."""
    with connect(context) as client:
        for job_id in job_ids:
            job = client.cancel(job_id)
            if as_json:
                print_json(job)
            else:
                out.print(f"{job['id']}  {job['status']}")
