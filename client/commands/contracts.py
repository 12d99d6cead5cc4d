"""`mimeo model-types`."""

from typing import Annotated

import typer

from client.connection import JsonOption, connect
from client.errors import BadInput
from client.output import facts, heading, print_json, table
from client.schema import MeasureDocs, ModelType
from client.served_options import SchemaName, served_options


def model_types(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Model type to show in full.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the model types, or show one with its presets, options, metrics and quality figures."""
    with connect(context) as client:
        found = client.model_types()
    chosen = [each for each in found if name in {None, each["name"]}]
    if not chosen:
        raise BadInput(f"there is no model type {name}; there are {', '.join(each['name'] for each in found)}")
    if as_json:
        for each in chosen:
            print_json(each)
    elif name is None:
        rows = [(each["name"], each["data_kind"], each["default_dataset"], each["title"]) for each in chosen]
        table(("name", "data", "default dataset", "title"), rows)
    else:
        _show(chosen[0])


def _show(model_type: ModelType) -> None:
    facts(
        [
            ("name", model_type["name"]),
            ("title", model_type["title"]),
            ("summary", model_type["summary"]),
            ("data", model_type["data_kind"]),
            ("default dataset", model_type["default_dataset"]),
            ("formats", ", ".join(model_type["formats"])),
            ("presets", ", ".join(preset["name"] for preset in model_type["presets"])),
        ]
    )
    _show_options("Hyperparameters", model_type, "hyperparameters_schema")
    _show_options("Sampling", model_type, "sampling_schema")
    _show_measures("Metrics", model_type.get("metric_docs", []))
    _show_measures("Quality", model_type.get("quality_docs", []))


def _show_options(title: str, model_type: ModelType, schema: SchemaName) -> None:
    heading(title)
    options = served_options([model_type], schema).values()
    table(("option", "meaning"), [(option.flags[0], option.meaning(model_type["name"])) for option in options])


def _show_measures(title: str, measures: list[MeasureDocs]) -> None:
    if measures:
        heading(title)
        rows = [(each["name"], each["better"] or "", each["meaning"]) for each in measures]
        table(("name", "better", "meaning"), rows)
