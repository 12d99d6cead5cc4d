"""Values of the command line."""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

from client.errors import BadInput


def texts_of(pairs: Iterable[str], option: str) -> dict[str, str]:
    """`key=value` pairs as a dictionary of texts, as typed.

    Raises BadInput for a pair without `=` and for a repeated key.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"{option} {pair}: write it as key=value, as in {option} epochs=3")
        if key.strip() in found:
            raise BadInput(f"{option} {key.strip()} is given twice")
        found[key.strip()] = text
    return found


def settings_of(pairs: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """`key=value` pairs as a dictionary. A value is parsed as JSON if possible, else it is the text itself.

    Raises BadInput as `texts_of` does.
    """
    return {key: _value(text) for key, text in texts_of(pairs, option).items()}


def _value(text: str) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, allow_nan=False)  # 1e999 is infinite
    except (ValueError, RecursionError):
        return text
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
