"""`mimeo generate`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from client.commands.context import JsonOption, connect
from client.errors import BadInput
from client.formatting import outcome
from client.http import Client
from client.live import show_content
from client.output import out, print_json, remark
from client.schema import Job
from client.values import labels_of, settings_of


def generate(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="mdl_…, ckp_…, or a trn_… (its newest checkpoint).")],
    *,
    prompt: Annotated[str | None, typer.Option(help="Text to go on from (lstm).")] = None,
    length: Annotated[int | None, typer.Option(help="Characters to write (lstm).")] = None,
    temperature: Annotated[float | None, typer.Option(help="0 takes the likeliest character (lstm).")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest characters (lstm).")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the likeliest of this total probability (lstm).")
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="End before this text (lstm). Repeatable.")] = None,
    n: Annotated[int | None, typer.Option("--n", "-n", help="How many (lstm; vae in mode random).")] = None,
    mode: Annotated[
        str | None, typer.Option(help="random, grid, interpolate, latent, reconstruct or encode (vae).")
    ] = None,
    points: Annotated[int | None, typer.Option(help="Points on each side of the grid (vae).")] = None,
    labels: Annotated[str | None, typer.Option(help="Classes, as in 3,7, or all (acgan).")] = None,
    n_per_label: Annotated[int | None, typer.Option(help="Images of each class (acgan).")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any sampling parameter; JSON values. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Equal seeds give equal samples on one machine.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="png, npy or txt.")] = None,
    out_: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write; - is standard output.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw from a model: text to standard output, images to a file. Exit 1 unless it succeeds."""
    options = {
        "prompt": prompt,
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "stop": stop or None,
        "n": n,
        "mode": mode,
        "points": points,
        "labels": labels_of(labels) if labels is not None else None,
        "n_per_label": n_per_label,
    }
    sampling = {key: value for key, value in options.items() if value is not None}
    extra = settings_of(set_ or [])
    if twice := sorted(sampling.keys() & extra.keys()):
        raise BadInput(f"{twice[0]} is given twice: as an option and with --set")
    given = {"model": model, "sampling": sampling | extra, "seed": seed, "format": format_}
    request: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    with connect(context) as client:
        job = client.generate(request)
        if as_json:
            print_json(job)
        if job["status"] != "succeeded":
            remark(outcome(job))
            raise typer.Exit(1)
        deliver(client, job, out_, quiet=as_json)


def deliver(client: Client, job: Job, target: str | None, *, quiet: bool) -> None:
    """Hand over what was generated.

    target: a file, `-` for the bytes on standard output, or None: text is printed, images go to a file in this folder.
    quiet: standard output is taken; write files only where one was asked for.
    """
    output = job.get("output") or {}
    if target is None and quiet:
        return
    if target is None and "text" in output:
        sys.stdout.write("\n---\n".join(output.get("texts") or [output["text"]]) + "\n")
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
            out.print(str(path), markup=False, soft_wrap=True)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"--out {path}: {(error.strerror or str(error)).lower()}") from error
