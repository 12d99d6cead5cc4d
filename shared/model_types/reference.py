"""The registry as a page of the documentation: `python -m shared.model_types.reference` prints Markdown."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.model_types import REGISTRY, Measure, ModelType

DIRECTIONS = {"lower": "lower is better", "higher": "higher is better", None: ""}


def markdown(model_types: Iterable[ModelType]) -> str:
    """A section for each model type: presets, hyperparameters, sampling parameters, metrics and quality figures."""
    return "\n".join(["# Model types", *(line for each in model_types for line in _section(each))]) + "\n"


def _section(model_type: ModelType) -> Iterator[str]:
    yield from ("", f"## `{model_type.name}`: {model_type.title}", "", model_type.summary, "")
    yield f"Data: {model_type.data_kind}{', with labels' if model_type.needs_labels else ''}."
    yield f"Default dataset: `{model_type.default_dataset}`."
    yield f"Output formats: {', '.join(f'`{each}`' for each in model_type.formats)}."
    yield f"ONNX graphs: {', '.join(f'`{each}`' for each in model_type.onnx_parts) or 'none'}."
    yield from ("", "### Presets", "")
    yield from _table(("preset", "differs from the defaults in"), map(_preset, model_type.presets.items()))
    yield from ("", "### Hyperparameters", "")
    yield from _parameters(model_type.hyperparameters.model_json_schema())
    sampling = model_type.sampling.json_schema()
    for schema in (sampling, *sampling.get("$defs", {}).values()):
        if "properties" in schema:
            yield from ("", f"### Sampling: {schema['title']}", "", *_lines(schema.get("description")))
            yield from _parameters(schema)
    yield from ("", "### Metrics", "", *_measures(model_type.metrics))
    yield from ("", "### Quality", "", *_measures(model_type.quality))


def _lines(text: str | None) -> list[str]:
    return [text, ""] if text else []


def _preset(preset: tuple[str, Mapping[str, Any]]) -> tuple[str, str]:
    name, values = preset
    return f"`{name}`", ", ".join(f"`{key}` {json.dumps(value)}" for key, value in values.items())


def _parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    rows = (
        (f"`{name}`", json.dumps(each["default"]) if "default" in each else "required", each.get("description", ""))
        for name, each in schema["properties"].items()
    )
    return _table(("name", "default", "meaning"), rows)


def _measures(measures: Mapping[str, Measure]) -> Iterator[str]:
    rows = ((f"`{name}`", each.meaning, DIRECTIONS[each.better]) for name, each in measures.items())
    return _table(("name", "meaning", "direction"), rows)


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (columns, ("---",) * len(columns), *rows):
        yield f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"


if __name__ == "__main__":
    sys.stdout.write(markdown(REGISTRY.values()))
