"""Characters of a request and the characters that a model was trained on."""

import unicodedata
from typing import Any, Literal

from pydantic import BeforeValidator

from shared.errors import FieldError
from shared.text_normalization import normalize

_MOST_SHOWN = 20
_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")


def _normalized(value: Any) -> Any:
    return normalize(value) if isinstance(value, str) else value


Normalized = BeforeValidator(_normalized)
"""Annotates a string of a request that a text model reads or writes: it gets the form that training texts have."""


def unknown_characters(text: str, vocabulary: str, pointer: str) -> FieldError | None:
    """The error for characters that are not in a model's vocabulary, or None.

    It names them by code point, and another Unicode normal form of the text that the vocabulary does have.
    """
    known = set(vocabulary)
    unknown = sorted(set(text) - known)
    if not unknown:
        return None
    more = f" and {len(unknown) - _MOST_SHOWN} more" if len(unknown) > _MOST_SHOWN else ""
    shown = ", ".join(code_point(character) for character in unknown[:_MOST_SHOWN])
    detail = f"The model was trained on a text without {shown}{more}; {_remedy(text, known)}"
    return FieldError(pointer=pointer, detail=detail, code="unknown_character")


def code_point(character: str) -> str:
    """`U+00E9 (é)`, or `U+0009` for a character without a glyph of its own."""
    number = f"U+{ord(character):04X}"
    has_glyph = character.isprintable() and not unicodedata.combining(character) and not character.isspace()
    return f"{number} ({character})" if has_glyph else number


def _remedy(text: str, known: set[str]) -> str:
    for form in _FORMS:
        if set(unicodedata.normalize(form, text)) <= known:
            return f"send the string in Unicode normal form {form}, which the model knows."
    return "remove or replace these characters."
