"""Errors of pydantic as field errors: a pointer to the field, the error, and the nearest valid name."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.errors import FieldError

Loc = Sequence[int | str]
Schema = dict[str, Any]


def field_errors(
    error: ValidationError, prefix: str = "", *, model: type[BaseModel] | TypeAdapter[Any] | None = None
) -> list[FieldError]:
    """One FieldError for each error of pydantic.

    prefix: RFC 6901 pointer of the validated value (`/hyperparameters`). model: the class that validated it; with it,
    the error of an unknown field names the nearest valid one.
    """
    schema = _schema(model)
    return [
        FieldError(
            pointer=prefix + _pointer(details["loc"], details["type"], schema),
            detail=_detail(details, schema),
            code={"extra_forbidden": "unknown_field"}.get(details["type"], details["type"]),
        )
        for details in error.errors(include_url=False)
    ]


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean "epochs"?`, or the valid names when none is near, or nothing when there are none."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    if close:
        return f' Did you mean "{close[0]}"?'
    return f" Valid: {', '.join(names)}." if names else ""


def _schema(model: type[BaseModel] | TypeAdapter[Any] | None) -> Schema:
    if model is None:
        return {}
    return model.json_schema() if isinstance(model, TypeAdapter) else model.model_json_schema()


def _detail(details: Any, schema: Schema) -> str:
    if details["type"] == "extra_forbidden":
        name = str(details["loc"][-1])
        properties = _node(details["loc"][:-1], schema).get("properties", {})
        return f'There is no field "{_short(name)}".{nearest(name, properties)}'
    if details["type"] == "missing":
        return "This field is required."
    if details["type"] == "string_pattern_mismatch" and "_[0-9a-z]" in str(details["ctx"]["pattern"]):
        return "This is not an id of the expected kind."
    if details["type"] == "model_type" and not details["loc"]:
        return "The body must be a JSON object."
    message = str(details["msg"]).removeprefix("Value error, ")
    return message if message.endswith(".") else message + "."


def _short(text: str) -> str:
    return text if len(text) <= 64 else text[:61] + "…"


def _pointer(loc: Loc, kind: str, schema: Schema) -> str:
    """RFC 6901 pointer of a pydantic location, without pydantic's tags of discriminated unions."""
    parts, node = [], schema
    for position, part in enumerate(loc):
        following = _step(node, part, schema)
        is_tag = following is not None and following[1]
        if not is_tag:
            parts.append(str(part).replace("~", "~0").replace("/", "~1"))
        node = following[0] if following is not None else {}
        if kind == "extra_forbidden" and position == len(loc) - 1:
            break
    return "".join(f"/{part}" for part in parts)


def _node(loc: Loc, schema: Schema) -> Schema:
    node = _dereference(schema, schema)
    for part in loc:
        following = _step(node, part, schema)
        if following is None:
            return {}
        node = following[0]
    return node


def _step(node: Schema, part: int | str, root: Schema) -> tuple[Schema, bool] | None:
    """The schema of one part of a location, and whether the part is a union's tag instead of a field."""
    node = _dereference(node, root)
    for branch in [node, *(_dereference(option, root) for option in node.get("anyOf", ()))]:
        mapping = branch.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            return _dereference({"$ref": mapping[part]}, root), True
        if part in branch.get("properties", {}):
            return _dereference(branch["properties"][part], root), False
        if isinstance(part, int) and isinstance(branch.get("items"), dict):
            return _dereference(branch["items"], root), False
        if isinstance(part, str) and isinstance(branch.get("additionalProperties"), dict):
            return _dereference(branch["additionalProperties"], root), False
    return None


def _dereference(node: Schema, root: Schema) -> Schema:
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return node
    name = reference.rsplit("/", 1)[-1]
    target = root.get("$defs", {}).get(name, {})
    return target if isinstance(target, dict) else {}
