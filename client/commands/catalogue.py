"""`mimeo models`, `mimeo datasets` and `mimeo workers`."""

from pathlib import Path
from typing import Annotated

import typer

from client.commands.dataset_changes import ColourOption, SizeOption
from client.connection import JsonOption, LimitOption, connect
from client.formatting import ago, quality_line, rate, size
from client.headlines import Headlines
from client.output import line, print_json, table
from client.schema import Dataset, Model
from client.uploads import as_file, image_fields, kind_of, with_progress

datasets_app = typer.Typer(help="List, upload, replace, describe or delete datasets.", invoke_without_command=True)


def models(
    context: typer.Context,
    model_type: Annotated[str | None, typer.Option(help="Only models of this type.")] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List models, newest first: trained, imported and ready-made ones."""
    with connect(context) as client:
        page = client.models(model_type=model_type, limit=limit)
        if as_json:
            for model in page["data"]:
                print_json(model)
            return
        _list_models(page["data"], Headlines(client))


def _list_models(models: list[Model], headlines: Headlines) -> None:
    rows = [
        (
            model["id"],
            model["name"] or "–",
            model["model_type"],
            model["dataset"],
            model.get("source", "trained"),
            quality_line(model["quality"], headlines.quality(model["model_type"])),
            ago(model["created_at"]),
        )
        for model in models
    ]
    table(("id", "name", "model type", "dataset", "source", "quality", "created"), rows)


@datasets_app.callback()
def datasets(context: typer.Context) -> None:
    """List datasets; the commands upload and change your own."""
    if context.invoked_subcommand is None:
        list_datasets(context)


@datasets_app.command("list")
def list_datasets(context: typer.Context, as_json: JsonOption = False) -> None:
    """List datasets, and whether each is on the server."""
    with connect(context) as client:
        found = client.datasets()
    if as_json:
        for dataset in found:
            print_json(dataset)
        return
    rows = [
        (
            item["name"],
            item["kind"],
            _amount(item),
            item["availability"],
            _checksum(item),
            item["title"],
            item["detail"] or "",
        )
        for item in found
    ]
    table(("name", "kind", "size", "availability", "checksum", "title", ""), rows)


def _checksum(dataset: Dataset) -> str:
    """The first checksum, shortened; `--json` shows all of them in full."""
    checksums = list((dataset.get("checksums") or {}).values())
    if not checksums:
        return ""
    algorithm, _, digits = checksums[0].partition(":")
    return f"{algorithm}:{digits[:8]}" + (f" +{len(checksums) - 1}" if len(checksums) > 1 else "")


def _amount(dataset: Dataset) -> str:
    unit = {"text": "characters", "images": "images"}.get(dataset["kind"], "examples")
    return f"{dataset['examples']:,} {unit}" if dataset["examples"] is not None else size(dataset["size"])


@datasets_app.command("add")
def add_dataset(  # noqa: PLR0917 - Typer passes them by name
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="A text in UTF-8; or images: a folder of class folders, a zip, an npz.")],
    name: Annotated[
        str | None, typer.Option(help="Name of the dataset; the file's name without its ending if unset.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="Free text for people.")] = None,
    size: SizeOption = None,
    colour: ColourOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload a text or images as a dataset."""
    kind = kind_of(path)
    fields = image_fields(kind, size, colour)
    with connect(context) as client, as_file(path) as file:
        dataset = client.add_dataset(
            name or path.resolve().stem, file, kind, opener=with_progress, description=description, **fields
        )
    if as_json:
        print_json(dataset)
        return
    line(f"{dataset['name']}  {_amount(dataset)}")
    if dataset["detail"]:
        line(dataset["detail"])


def workers(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the workers and their current jobs."""
    with connect(context) as client:
        found = client.workers()
    if as_json:
        for worker in found:
            print_json(worker)
        return
    rows = [
        (
            worker["kind"],
            worker["host"],
            worker["pid"],
            worker["device"],
            ",".join(worker.get("labels", ())),
            (worker["job"] or "idle") if worker["is_alive"] else "not alive",
            rate(worker["examples_per_s"]) if worker["is_alive"] else "",
            worker["jobs_done"],
            ago(worker["heartbeat_at"]),
        )
        for worker in found
    ]
    table(("kind", "host", "pid", "device", "labels", "job", "speed", "done", "last heartbeat"), rows)
