"""`mimeo export`."""

import sys
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from client.connection import connect
from client.errors import BadInput
from client.output import err, line


def export(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="mdl_…, as `mimeo models` lists them.")],
    *,
    format_: Annotated[
        str, typer.Option("--format", help="safetensors (the weights) or onnx (a graph that runs without Mimeo).")
    ] = "safetensors",
    part: Annotated[str | None, typer.Option(help="One of the model's graphs, if it has several (onnx).")] = None,
    out_: Annotated[
        str | None, typer.Option("--out", "-o", metavar="FILE", help="File to write; - for standard output.")
    ] = None,
) -> None:
    """Save a model as a file for use without Mimeo. The first request for an ONNX file creates and verifies it."""
    with connect(context) as client, err.status(f"Exporting {model} …"):
        exported = client.export(model, format_, part=part)
    if out_ == "-":
        sys.stdout.buffer.write(exported.content)
        return
    path = Path(out_ or exported.name)
    if path.is_dir():
        path /= exported.name
    _write_whole(path, exported.content)
    line(str(path))


def _write_whole(path: Path, content: bytes) -> None:
    """Write under another name and rename, so that the file is complete or absent. Raises BadInput."""
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise BadInput(f"--out {path}: {(error.strerror or str(error)).lower()}") from error
    finally:
        temporary.unlink(missing_ok=True)
