"""`mimeo datasets show`, `replace`, `describe` and `delete`."""

import base64
import secrets
from pathlib import Path
from typing import Annotated

import typer

from client.connection import JsonOption, connect
from client.formatting import ago, size
from client.images import sheet_of
from client.live import show_content
from client.output import facts, heading, line, out, print_json, write_text
from client.schema import Dataset, DatasetPreview
from client.uploads import as_file, image_fields, kind_of, with_progress

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name of a dataset.", show_default=False)]
SizeOption = Annotated[
    int | None, typer.Option(help="Height and width of images, a multiple of 4; 28 in grey and 32 in colour if unset.")
]
ColourOption = Annotated[
    bool | None, typer.Option("--colour/--grey", help="Images in colour or in grey; grey if unset and all are.")
]


def show(
    context: typer.Context,
    name: NameArgument,
    preview: Annotated[bool, typer.Option("--preview", help="Also a random passage, or images of each class.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one dataset: its size, checksum, description and use."""
    with connect(context) as client:
        dataset = client.dataset(name)
        part = client.dataset_preview(name, seed=secrets.randbelow(1_000_000)) if preview else None
    if as_json:
        print_json({**dataset, "preview": part} if part else dataset)
        return
    _print(dataset, as_json=False)
    if part:
        _print_preview(part)


def _print_preview(part: DatasetPreview) -> None:
    text, images = part["text"], part["images"]
    if text is not None:
        heading(f"From byte {text['offset']:,} of {text['size']:,}")
        write_text(text["excerpt"])
    if images is not None:
        shape = images["channels"], images["height"], images["width"]
        columns = max(1, images["labels"].count(images["labels"][0])) if images["labels"] else 1
        png = sheet_of(base64.b64decode(images["pixels"]), shape, columns)
        heading("Images of each class")
        show_content(out, png, "image/png")


def replace(  # noqa: PLR0917 - Typer passes them by name
    context: typer.Context,
    name: NameArgument,
    path: Annotated[Path, typer.Argument(help="A text in UTF-8, or images as for `add`.", show_default=False)],
    size: SizeOption = None,
    colour: ColourOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace the contents of an uploaded dataset, which no unfinished job may use. Models of the old ones stay."""
    kind = kind_of(path)
    fields = image_fields(kind, size, colour)
    with connect(context) as client, as_file(path) as file:
        dataset = client.replace_dataset(name, file, kind, opener=with_progress, **fields)
    _print(dataset, as_json=as_json)


def describe(
    context: typer.Context,
    name: NameArgument,
    description: Annotated[str, typer.Argument(help="Free text; an empty one removes it.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Change the description of an uploaded dataset."""
    with connect(context) as client:
        dataset = client.describe_dataset(name, description or None)
    _print(dataset, as_json=as_json)


def delete(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Uploaded datasets.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Delete uploaded datasets, which no unfinished job may use. Models that were trained on them stay."""
    with connect(context) as client:
        for name in names:
            client.delete_dataset(name)
            if as_json:
                print_json({"name": name, "deleted": True})
            else:
                line(f"{name}  deleted")


def _print(dataset: Dataset, *, as_json: bool) -> None:
    if as_json:
        print_json(dataset)
        return
    examples, use = dataset["examples"], dataset.get("used_by")
    facts(
        [
            ("name", dataset["name"]),
            ("title", dataset["title"]),
            ("description", dataset.get("description")),
            ("kind", dataset["kind"]),
            ("availability", dataset["availability"]),
            ("detail", dataset["detail"]),
            ("license", dataset["license"]),
            ("characters" if dataset["kind"] == "text" else "examples", f"{examples:,}" if examples else None),
            ("distinct", dataset["vocabulary"]),
            ("classes", dataset["classes"]),
            ("class names", ", ".join(dataset.get("class_names") or []) or None),
            ("size", size(dataset["size"]) if dataset["size"] is not None else None),
            ("sha256", dataset["sha256"]),
            ("version", dataset.get("version")),
            ("created", ago(dataset["created_at"]) if dataset["created_at"] else None),
            ("used by", f"{use['jobs']} unfinished jobs, {use['models']} models" if use else None),
        ]
    )
