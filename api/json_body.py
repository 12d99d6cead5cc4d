"""JSON request bodies: bounds of their size and shape, checked before the validation of fields.

The work and the memory of a request are bounded by its bytes, its objects with their members, its items and its depth.
"""

import json
from typing import Any, NoReturn

from flask import request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from shared.errors import SpecError
from shared.model_types.base import MAX_NUMBERS

MAX_DEPTH = 64
MAX_MEMBERS = 1_000  # objects and their members; a valid request has about 130 at most
MAX_ITEMS = MAX_NUMBERS + 20_000  # of all arrays: the numbers of a request, in arrays of arrays
_DIGITS = 4_300  # the longest integer that Python reads


class _Refused(ValueError):
    """The reason to refuse a body while it is parsed."""


def read_json() -> dict[str, Any]:
    """The JSON object of the request.

    Raises UnsupportedMediaType (415), RequestEntityTooLarge (413), BadRequest (400) for invalid JSON, for a key that an
    object has twice and beyond a bound, and SpecError (422) for JSON other than an object.
    """
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as JSON, with the header 'Content-Type: application/json'.")
    body = _parsed(request.get_data(cache=False))
    if not isinstance(body, dict):
        raise SpecError.at("", "The body must be a JSON object.", "object_expected")
    _check_shape(body)
    return body


def _parsed(raw: bytes) -> Any:
    members = 0

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal members
        members += 1 + len(pairs)
        if members > MAX_MEMBERS:
            raise _Refused(f"it has more than {MAX_MEMBERS:,} objects and members of objects")
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for position, name in enumerate(names) if name in names[:position])
            raise _Refused(f"an object has the key {json.dumps(twice[:64])} twice")
        return found

    try:
        return json.loads(raw, parse_constant=_refuse_constant, object_pairs_hook=as_object)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body is not valid: {_reason(error)}.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not a JSON number")


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"it is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        case UnicodeDecodeError():
            return f"byte {error.start} is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case _Refused():
            return str(error)
    return f"it has a number of more than {_DIGITS:,} digits"  # the only other ValueError of the parser


def _check_shape(body: dict[str, Any]) -> None:
    """Refuse more items than MAX_ITEMS, and a depth at which recursive code could exceed its stack."""
    level: list[Any] = [body]
    items = 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                items += len(item)
                inner.extend(item)
        if items > MAX_ITEMS:
            raise BadRequest(f"The arrays of the body have more than {MAX_ITEMS:,} items.")
        if not inner:
            return
        level = inner
    raise BadRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")
