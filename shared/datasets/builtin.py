"""The two builtin datasets as they are stored: small digits in a file, and the text of the interpreter's library."""

import os
from pathlib import Path

from shared.text_normalization import normalize

DIGITS_FILE = Path(__file__).with_name("digits.npz")
DIGITS_TEST_EVERY = 5  # every fifth digit is for testing
SOURCE_CHARACTERS = 1_000_000


def python_source() -> str:
    """The running interpreter's standard library; the same interpreter gives the same text.

    Top-level modules in order of name, those in plain ASCII, up to SOURCE_CHARACTERS.
    """
    parts: list[str] = []
    size = 0
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        data = path.read_bytes()
        if not data.isascii():
            continue
        parts.append(normalize(data.decode("ascii")))
        size += len(parts[-1])
        if size >= SOURCE_CHARACTERS:
            break
    return "".join(parts)[:SOURCE_CHARACTERS]
