"""Errors of pydantic as field errors: a pointer to the field, the error in JSON's words, the nearest valid name."""

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from shared.errors import MAX_ERRORS, FieldError, SpecError
from shared.spec_locations import Located, Mismatch, Part, Schema, locate, one_each

_LONGEST_COMPARED = 100  # characters; the comparison of longer names takes too long
_ARRAYS = frozenset({"list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"})
_OBJECTS = frozenset({"dict_type", "model_type", "model_attributes_type", "mapping_type"})
_PLURALS = {"integer": "integers", "number": "numbers", "string": "strings", "boolean": "booleans", "object": "objects"}
Validator = type[BaseModel] | TypeAdapter[Any]


def spec_error(error: ValidationError, prefix: str = "", *, model: Validator | None = None) -> SpecError:
    """A SpecError of the errors of pydantic, one for each mistake.

    prefix: RFC 6901 pointer of the validated value (`/hyperparameters`). model: the class that validated it; with it,
    unions are reduced to one branch, and the error of an unknown field names the nearest valid one.
    """
    schema = _schema(model) if model is not None else {}
    found = one_each([locate(details, schema) for details in error.errors(include_url=False)])
    return SpecError.of([_field_error(each, prefix) for each in found[:MAX_ERRORS]], total=len(found))


def pointer(path: Iterable[Part]) -> str:
    """RFC 6901 pointer of keys and indices."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def nearest(name: str, known: Iterable[str]) -> str:
    """` Did you mean "epochs"?`, or the valid names when none is near, or nothing when there are none."""
    names = sorted(known)
    folded = {each.casefold(): each for each in names}
    is_short = len(name) <= _LONGEST_COMPARED
    close = get_close_matches(name.casefold(), list(folded), n=1) if is_short else []
    if close:
        return f' Did you mean "{folded[close[0]]}"?'
    return f" Valid: {', '.join(names)}." if names else ""


@cache
def _schema(model: Validator) -> Schema:
    return model.json_schema() if isinstance(model, TypeAdapter) else model.model_json_schema()


def _field_error(error: Located | Mismatch, prefix: str) -> FieldError:
    if isinstance(error, Mismatch):
        return FieldError(pointer=prefix + pointer(error.path), detail=_expected(error), code="wrong_type")
    details, path = error.details, error.path
    if details["type"].startswith("union_tag_"):
        path = (*path, details["ctx"]["discriminator"].strip("'"))
    code = {"extra_forbidden": "unknown_field", "union_tag_invalid": "unknown"}.get(details["type"], details["type"])
    return FieldError(pointer=prefix + pointer(path), detail=_detail(error), code=code)


def _detail(error: Located) -> str:
    details = error.details
    match details["type"]:
        case "extra_forbidden":
            name = str(details["loc"][-1])
            known = [name for node in error.parents for name in node.get("properties", {})]
            return f'There is no field "{_short(name)}".{nearest(name, known)}'
        case "missing" | "union_tag_not_found":
            return _container(error) if _is_short_array(details) else "This field is required."
        case "union_tag_invalid":
            return _unknown_tag(details["ctx"])
        case "string_pattern_mismatch" if "_[0-9a-z]" in str(details["ctx"]["pattern"]):
            return "This is not an id of the expected kind."
        case kind if kind in _OBJECTS or kind in _ARRAYS:
            return _container(error)
    return _message(str(details["msg"]))


def _is_short_array(details: Any) -> bool:
    return bool(details["loc"]) and isinstance(details["loc"][-1], int)


def _container(error: Located) -> str:
    if not error.path:
        return "The body must be a JSON object."
    of_kind = "a JSON object" if error.details["type"] in _OBJECTS else "an array"
    return f"Input should be {_described(error.nodes[0]) if error.nodes and of_kind == 'an array' else of_kind}."


def _unknown_tag(context: Any) -> str:
    name, tag = context["discriminator"].strip("'"), str(context["tag"])
    tags = re.findall("'([^']*)'", context["expected_tags"])
    return f'There is no {name} "{_short(tag)}".{nearest(tag, tags)}'


def _message(message: str) -> str:
    """A message of pydantic, with the words of JSON for the types of Python."""
    message = message.removeprefix("Value error, ").replace(" after validation", "")
    message = re.sub("^(List|Tuple|Set|Frozenset) ", "Array ", message)
    message = re.sub("^Dictionary ", "Object ", message)
    return message if message.endswith(".") else message + "."


def _short(text: str) -> str:
    return text if len(text) <= 64 else text[:61] + "…"


def _expected(error: Mismatch) -> str:
    """The types of a union's branches, and the nearest of its names for a text."""
    words = list(dict.fromkeys(_described(node) for node in error.expected))
    names = [each for node in error.expected for each in _constants(node) if isinstance(each, str)]
    advice = nearest(error.value, names) if isinstance(error.value, str) and names else ""
    return f"Give {' or '.join(words)}.{advice if 'Did you mean' in advice else ''}"


def _described(node: Schema) -> str:
    """A schema in words: `an array of integers`."""
    if constants := _constants(node):
        return " or ".join(json.dumps(each, ensure_ascii=False) for each in constants)
    kind = node.get("type", "value")
    of = _items(node) if kind == "array" else ""
    return f"{'an' if kind[0] in 'aio' else 'a'} {kind}{of}"


def _items(node: Schema) -> str:
    items: Sequence[Schema] = node.get("prefixItems") or [node.get("items", {})]
    kinds = {item.get("type") for item in items}
    kind = kinds.pop() if len(kinds) == 1 else None
    count = f"{len(items)} " if "prefixItems" in node else ""
    if kind == "array":
        return f" of {count}arrays{_items(items[0])}"
    return f" of {count}{_PLURALS[kind]}" if kind in _PLURALS else ""


def _constants(node: Schema) -> list[Any]:
    return [node["const"]] if "const" in node else list(node.get("enum", ()))
