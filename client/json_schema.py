"""Values of a JSON Schema from text of a command line."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

JsonSchema = Mapping[str, Any]
_SCALARS = {"boolean", "integer", "number", "string", "null"}
_ORDER = ("const", "boolean", "integer", "number", "object", "array", "string", "null")  # a string accepts any text


def properties_of(schema: JsonSchema) -> dict[str, JsonSchema]:
    """The properties of an object, or of all alternatives of a union of objects; references are resolved.

    A property that alternatives define differently gets the `anyOf` of its definitions.
    """
    found: dict[str, list[JsonSchema]] = {}
    for alternative in alternatives(_resolved(schema, schema.get("$defs", {}))):
        for name, definition in alternative.get("properties", {}).items():
            found.setdefault(name, []).append(definition)
    return {
        name: definitions[0] if len(definitions) == 1 else {"anyOf": definitions, **_described(definitions)}
        for name, definitions in found.items()
    }


def alternatives(schema: JsonSchema) -> Iterator[JsonSchema]:
    """The schema itself, or the members of its unions at any depth."""
    members = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if not members:
        yield schema
    for member in members:
        yield from alternatives(member)


def takes_several(schema: JsonSchema) -> bool:
    """Whether a value may be an array."""
    return any(alternative.get("type") == "array" for alternative in alternatives(schema))


def decode(texts: Sequence[str], schema: JsonSchema) -> Any:
    """The value of the texts: one text is the value, several are the items of an array.

    Bounds are not checked. Raises ValueError for a text of none of the schema's types.
    """
    choices = sorted(alternatives(schema), key=_rank)
    for choice in choices:
        try:
            return _value(texts[0], choice) if len(texts) == 1 else _items(texts, choice)
        except ValueError:
            continue
    raise ValueError(f"expects {expected(schema)}")


def expected(schema: JsonSchema) -> str:
    """Description of the values: `all, or whole numbers separated by commas`."""
    words = [_words(alternative) for alternative in alternatives(schema)]
    return ", or ".join(dict.fromkeys(word for word in words if word))


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_resolved(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        own = {key: value for key, value in schema.items() if key != "$ref"}
        return _resolved({**definitions[schema["$ref"].rpartition("/")[2]], **own}, definitions)
    return {key: _resolved(value, definitions) for key, value in schema.items() if key != "$defs"}


def _described(definitions: Sequence[JsonSchema]) -> dict[str, str]:
    descriptions = dict.fromkeys(each["description"] for each in definitions if "description" in each)
    return {"description": " ".join(descriptions)} if descriptions else {}


def _kind(schema: JsonSchema) -> str:
    return "const" if "const" in schema or "enum" in schema else str(schema.get("type", "object"))


def _rank(schema: JsonSchema) -> int:
    return _ORDER.index(_kind(schema))


def _constants(schema: JsonSchema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema["enum"])


def _value(text: str, schema: JsonSchema) -> Any:
    """The value of one type. Raises ValueError."""
    readers: dict[str, Callable[[], Any]] = {
        "const": lambda: _one_of(text, _constants(schema)),
        "boolean": lambda: _one_of(text, [True, False]),
        "null": lambda: _one_of(text, [None]),
        "integer": lambda: int(text),
        "number": lambda: _finite(text),
        "string": lambda: text,
        "array": lambda: _array(text, schema),
        "object": lambda: json.loads(text),
    }
    return readers[_kind(schema)]()


def _one_of(text: str, values: Sequence[Any]) -> Any:
    written = {value if isinstance(value, str) else json.dumps(value): value for value in values}
    if text not in written:
        raise ValueError(text)
    return written[text]


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _array(text: str, schema: JsonSchema) -> Any:
    """JSON in brackets; else values separated by commas, unless the items are texts or arrays."""
    if text.lstrip().startswith("["):
        return json.loads(text)
    item = _item_schema(schema)
    kinds = {_kind(alternative) for alternative in alternatives(item)}
    if kinds == {"string"}:
        return [text]
    if not kinds <= _SCALARS | {"const"}:
        raise ValueError(text)
    return [decode([part.strip()], item) for part in text.split(",")]


def _items(texts: Sequence[str], schema: JsonSchema) -> list[Any]:
    if _kind(schema) != "array":
        raise ValueError("not an array")
    return [decode([text], _item_schema(schema)) for text in texts]


def _item_schema(schema: JsonSchema) -> JsonSchema:
    """Schema of an item; for a tuple, the union of its items."""
    return {"anyOf": schema["prefixItems"]} if "prefixItems" in schema else dict(schema.get("items", {}))


def _words(schema: JsonSchema) -> str:
    names = {"integer": "a whole number", "number": "a number", "string": "a text", "object": "JSON", "null": ""}
    match _kind(schema):
        case "const":
            return " or ".join(value if isinstance(value, str) else json.dumps(value) for value in _constants(schema))
        case "boolean":
            return "true or false"
        case "array":
            kinds = {_kind(alternative) for alternative in alternatives(_item_schema(schema))}
            plurals = {"integer": "whole numbers", "number": "numbers", "string": "texts"}
            of = " or ".join(plural for kind, plural in plurals.items() if kind in kinds and kinds != {"string"})
            return f"{of} separated by commas" if of and kinds <= set(plurals) else "a JSON array"
        case kind:
            return names[kind]
