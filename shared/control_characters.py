"""Characters that control a terminal or reorder a line: not permitted in names, and escaped in logs."""

import re

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

# C0, DEL, C1, line and paragraph separators, bidirectional marks, embeddings, overrides and isolates. The class has the
# same meaning in Python and in JSON Schema.
_CLASS = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[{_CLASS}]")


def _without_controls(text: str) -> str:
    found = _CONTROL.search(text)
    if found is not None:
        raise PydanticCustomError(
            "control_character",
            "The text has the control character U+{code} at position {position}; remove it.",
            {"code": f"{ord(found[0]):04X}", "position": found.start()},
        )
    return text


NoControls = (AfterValidator(_without_controls), Field(json_schema_extra={"pattern": f"^[^{_CLASS}]*$"}))
"""Annotations of a string field."""


def escaped(text: str) -> str:
    r"""The text with each control character as `\x1b` or `\u202e`."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
