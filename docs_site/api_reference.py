"""An OpenAPI 3.1 document as one Markdown page: every operation and every schema, with links between them."""

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
}


def render(document: Json) -> str:
    """The page. Raises KeyError for an operation with an undeclared tag."""
    info = document["info"]
    sections = {tag["name"]: [f"## {tag['name'].capitalize()}", tag["description"]] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                sections[operations[method]["tags"][0]] += _operation(method, path, operations[method])
    parts = ["# HTTP API", _prose(info["description"]), f"Version {info['version']}, from the OpenAPI document."]
    parts += [part for section in sections.values() for part in section]
    parts.append("## Schemas")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _schema(name, schema)
    return "\n\n".join(parts) + "\n"


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    yield f"### {method.upper()} {_escape(path)}"
    yield _prose(operation.get("summary", ""))
    if description := operation.get("description"):
        yield _prose(description)
    if parameters := operation.get("parameters"):
        rows = [
            (f"`{each['name']}`", each["in"], _type(each["schema"]), _prose(each.get("description", "")))
            for each in parameters
        ]
        yield _table(("parameter", "in", "type", "meaning"), rows)
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Request body: {_type(body['schema'])} (`{media_type}`)"
    responses = sorted(operation["responses"].items())
    yield _table(("status", "body", "meaning"), [_response(status, response) for status, response in responses])


def _response(status: str, response: Json) -> tuple[str, str, str]:
    bodies = (f"{_type(body.get('schema', {}))} (`{kind}`)" for kind, body in response.get("content", {}).items())
    headers = [f"Header `{name}`: {header['description']}" for name, header in response.get("headers", {}).items()]
    sentences = [response.get("description", ""), *headers]
    return status, ", ".join(bodies) or "–", " ".join(f"{_prose(each).rstrip('.')}." for each in sentences if each)


def _schema(name: str, schema: Json) -> Iterator[str]:
    yield f"### {name}"
    if description := schema.get("description"):
        yield _prose(description)
    properties = schema.get("properties")
    if not properties:
        yield _type(schema)
        return
    required = schema.get("required", [])
    rows = [
        (f"`{field}`" + ("" if field in required else " (optional)"), _type(value), _default(value), _meaning(value))
        for field, value in properties.items()
    ]
    yield _table(("field", "type", "default", "meaning"), rows)


def _type(schema: Json) -> str:
    """Type with bounds; a link for a component."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for combination in ("anyOf", "oneOf", "allOf"):
        if combination in schema:
            return " or ".join(_type(each) for each in schema[combination])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema.get("enum", [schema.get("const")]))
    name = schema.get("type", "any")
    if name == "array":
        name = f"array of {_type(schema.get('items', {}))}"
    limits = [text.format(f"{schema[key]:,.12g}") for key, text in BOUNDS.items() if key in schema]
    if "pattern" in schema:
        limits.append(f"pattern <code>{_escape(schema['pattern'])}</code>")
    return ", ".join([name, *limits])


def _default(schema: Json) -> str:
    return f"`{json.dumps(schema['default'], ensure_ascii=False)}`" if "default" in schema else "–"


def _meaning(schema: Json) -> str:
    return _prose(schema.get("description", ""))


def _prose(text: str) -> str:
    """One line of Markdown; the document's own `<br/>` is white space."""
    return re.sub(r"\s+", " ", text.replace("<br/>", " ")).strip()


def _escape(text: str) -> str:
    """Literal text within Markdown."""
    return re.sub(r"([*_{}\[\]|])", lambda found: f"&#{ord(found[1])};", html.escape(text))


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"(?<!\\)\|", "\\|", cell) for cell in row) + " |" for row in cells)
