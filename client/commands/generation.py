"""`mimeo generate`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from client.connection import JsonOption, connect
from client.errors import BadInput
from client.formatting import outcome
from client.http import Client
from client.live import show_content
from client.output import line, out, print_json, remark, write_text
from client.schema import Job, JsonObject
from client.served_options import given, merged
from client.values import settings_of
from client.webhooks import WebhookEventOption, WebhookUrlOption, webhook_of


def generate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="mdl_…, ckp_…, or trn_… (its model or newest checkpoint).")],
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A sampling parameter; JSON values. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same samples on one machine.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="File format, as `mimeo model-types` lists them.")
    ] = None,
    out_: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="File to write; - for standard output.")
    ] = None,
    webhook_url: WebhookUrlOption = None,
    webhook_event: WebhookEventOption = None,
    as_json: JsonOption = False,
) -> None:
    """Generate from a model: text to standard output, images to a file. Exit 1 unless it succeeds.

    Further options are the sampling parameters of the model's type; --help lists them while the server runs.
    """
    options, extra = given(context), settings_of(set_ or [])
    webhook = webhook_of(webhook_url, webhook_event)
    fields = {"model": model, "seed": seed, "format": format_, "webhook": webhook}
    request: dict[str, Any] = {key: value for key, value in fields.items() if value is not None}
    with connect(context) as client:
        values = options.values(_model_type(client, model)) if options.texts else {}
        job = client.generate({**request, "sampling": merged(values, extra)})
        if as_json:
            print_json(job)
        if job["status"] != "succeeded":
            remark(outcome(job))
            raise typer.Exit(1)
        deliver(client, job, out_, quiet=as_json)


def _model_type(client: Client, source: str) -> str | None:
    """The model type of a model or a training job; None for a checkpoint, which the API does not describe."""
    if source.startswith("mdl_"):
        return client.model(source)["model_type"]
    return client.job(source)["model_type"] if source.startswith("trn_") else None


def deliver(client: Client, job: Job, target: str | None, *, quiet: bool) -> None:
    """Write the output of a generation.

    target: a file; `-` for the bytes on standard output; None prints text and writes images to a file in this folder.
    quiet: standard output is in use for JSON; write a file only if `target` names one.
    """
    output = job.get("output") or {}
    if target is None and quiet:
        return
    if target is None and "text" in output:
        write_text(_all_text(client, job, output))
        return
    for number, artifact in enumerate(job.get("artifacts", [])):
        content = client.content(artifact["id"])
        if target == "-":
            sys.stdout.buffer.write(content)
            continue
        path = Path(target) if target else Path(f"{job['id']}{Path(artifact['name']).suffix}")
        if number:
            path = path.with_name(f"{path.stem}-{Path(artifact['name']).name}")
        _write(path, content)
        if not quiet:
            if out.is_terminal and artifact["media_type"] == "image/png":
                show_content(out, content, artifact["media_type"])
            line(str(path))


def _all_text(client: Client, job: Job, output: JsonObject) -> str:
    """The texts of a job; where the job has only their beginnings, its file, with its separators."""
    if not output.get("truncated"):
        return "\n---\n".join(output.get("texts") or [output["text"]])
    return "".join(client.content(each["id"]).decode() for each in job.get("artifacts", []))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"--out {path}: {(error.strerror or str(error)).lower()}") from error
