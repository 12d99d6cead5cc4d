"""JSON request bodies: checks before the validation of fields."""

import json
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from shared.errors import SpecError

MAX_DEPTH = 64


def read_json() -> dict[str, Any]:
    """The JSON object of the request.

    Raises UnsupportedMediaType (415), RequestEntityTooLarge (413), BadRequest (400) for invalid JSON, and SpecError
    (422) for JSON other than an object.
    """
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as JSON, with the header 'Content-Type: application/json'.")
    raw = request.get_data(cache=False)
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not valid JSON: {_reason(error)}.") from None
    if not isinstance(body, dict):
        raise SpecError.at("", "The body must be a JSON object.", "object_expected")
    _check_depth(body)
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def _check_depth(body: dict[str, Any]) -> None:
    """Refuse a nesting depth at which recursive code could exceed its stack."""
    level: list[Any] = [body]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        if not inner:
            return
        level = inner
    raise BadRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
