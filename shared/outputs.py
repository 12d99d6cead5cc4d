"""The part of a generation's output that its row and its responses hold. The artifacts have all of it."""

from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 4_000  # of one text
MAX_CHARACTERS_OF_ALL = 16_000  # of the texts of one job
MAX_ITEMS = 1_000  # of any other list
MAX_LISTED = 1_000  # of a sampling parameter in a list of jobs, as characters of JSON


def head(output: Mapping[str, Any]) -> dict[str, Any]:
    """The beginning of each text and list of an output, with `truncated: true` if something is left out.

    texts: the first ones, up to `MAX_CHARACTERS_OF_ALL` characters. The head of a head is the same.
    """
    shown = {name: _shortened(value) for name, value in output.items() if name != "texts"}
    if "texts" in output:
        shown["texts"] = _first_texts(output["texts"])
    return shown if shown == dict(output) else {**shown, "truncated": True}


def _first_texts(texts: list[str]) -> list[str]:
    shown, left = [], MAX_CHARACTERS_OF_ALL
    for text in texts:
        if left <= 0:
            break
        shown.append(text[: min(MAX_CHARACTERS, left)])
        left -= max(1, len(shown[-1]))
    return shown


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value[:MAX_CHARACTERS]
    if isinstance(value, list):
        return value[:MAX_ITEMS]
    return value
