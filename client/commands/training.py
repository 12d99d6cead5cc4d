"""`mimeo train` and `mimeo follow`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from client.commands.estimates import show_estimate
from client.connection import JsonOption, connect
from client.following import Follower, JsonPresenter, PlainPresenter, Presenter
from client.formatting import outcome
from client.headlines import Headlines
from client.http import Client
from client.live import LivePresenter
from client.output import line, out, print_json, remark
from client.schema import Job
from client.served_options import given, merged
from client.values import settings_of, texts_of
from client.webhooks import WebhookEventOption, WebhookUrlOption, webhook_of

INTERRUPTED = 130  # a shell's exit status for a program that Ctrl-C ended

OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for the samples; default samples/JOB-ID.", file_okay=False)
]


def train(
    context: typer.Context,
    model_type: Annotated[str, typer.Argument(help="Model type (`mimeo model-types`).")],
    *,
    dataset: Annotated[str | None, typer.Option(help="Dataset (`mimeo datasets`).")] = None,
    preset: Annotated[str | None, typer.Option(help="A preset of the model type; default fast.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A hyperparameter; JSON values. Repeatable.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same model on one machine.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the job and its model.")] = None,
    priority: Annotated[str | None, typer.Option(help="low, normal or high.")] = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="KEY=VALUE", help="Metadata of the job. Repeatable.")
    ] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Attempts before the job fails.")] = None,
    timeout_s: Annotated[int | None, typer.Option(help="Longest run of one attempt, in seconds.")] = None,
    init_from: Annotated[str | None, typer.Option(help="Model or checkpoint to train further.")] = None,
    webhook_url: WebhookUrlOption = None,
    webhook_event: WebhookEventOption = None,
    evaluation: Annotated[str | None, typer.Option(help="The final evaluation: auto, full, quick or none.")] = None,
    preemptible: Annotated[
        bool, typer.Option("--preemptible", help="Give way to jobs of a higher priority while it runs.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda: cuda waits for a worker with a GPU; default auto.")
    ] = None,
    requires: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="A label that the worker must have. Repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Submit nothing; show steps, time, memory and the resolved settings.")
    ] = False,
    follow_: Annotated[bool, typer.Option("--follow", "-f", help="Follow the job until it ends.")] = False,
    out_: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model. Prints the job's id, or with --follow shows the job until it ends (exit 1 unless it succeeds).

    Further options are the hyperparameters of the model type; --help lists them while the server runs.
    """
    fields = {
        "model_type": model_type,
        "dataset": dataset,
        "preset": preset,
        "hyperparameters": merged(given(context).values(model_type), settings_of(set_ or [])) or None,
        "seed": seed,
        "name": name,
        "priority": priority,
        "metadata": texts_of(metadata or [], "--metadata") or None,
        "max_attempts": max_attempts,
        "timeout_s": timeout_s,
        "init_from": init_from,
        "webhook": webhook_of(webhook_url, webhook_event),
        "evaluation": evaluation,
        "preemptible": preemptible or None,
        "device": device,
        "requires": requires or None,
    }
    request: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
    with connect(context) as client:
        if dry_run:
            show_estimate(client.estimate(request), as_json=as_json)
            return
        job = client.train(request)
        if follow_:
            remark(f"{job['id']} is {job['status']}.")
            _update_ema(client, job["id"], out_, as_json=as_json)
        elif as_json:
            print_json(job)
        else:
            line(job["id"])
            remark(f"{job['status'].capitalize()}. Follow it with: mimeo follow {job['id']}")


def follow(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="A training job (trn_…).")],
    out_: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a training job until it ends; exit 1 unless it succeeds. Ctrl-C leaves the job running."""
    with connect(context) as client:
        _update_ema(client, job_id, out_, as_json=as_json)


def _update_ema(client: Client, job_id: str, folder: Path | None, *, as_json: bool) -> None:
    follower = Follower(client, job_id, _presenter(client, as_json=as_json), folder or Path("samples") / job_id)
    try:
        job = follower.run()
    except KeyboardInterrupt:
        remark(f"{job_id} continues. Follow it again: mimeo follow {job_id}   Stop it: mimeo cancel {job_id}")
        raise typer.Exit(INTERRUPTED) from None
    finish(job)


def _presenter(client: Client, *, as_json: bool) -> Presenter:
    if as_json:
        return JsonPresenter()
    names = Headlines(client).metrics
    return LivePresenter(out, names) if out.is_terminal else PlainPresenter(out, names)


def finish(job: Job) -> None:
    """Print the result of a training job; exit 1 unless it succeeded."""
    remark(outcome(job))
    if job["status"] != "succeeded":
        raise typer.Exit(1)
    remark(f"Sample it with: mimeo generate {job['model']}")
