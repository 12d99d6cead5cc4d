"""Values of the command line."""

import json
from collections.abc import Iterable
from typing import Any

from client.errors import BadInput


def settings_of(pairs: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """`key=value` pairs as a dictionary. A value is parsed as JSON if possible, else it is the text itself.

    Raises BadInput for a pair without `=` or a key given twice.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise BadInput(f"{option} {pair}: write it as key=value, as in {option} epochs=3")
        if key.strip() in found:
            raise BadInput(f"{option} {key.strip()} is given twice")
        found[key.strip()] = _value(text)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
