"""Text for a terminal or a pipe: characters that control it are escaped, characters that it lacks are replaced.

Escaped are control characters (C0, DEL, C1), line and paragraph separators, invisible and bidirectional format
characters (Unicode TR 36 and TR 9) and unpaired surrogates. Joiners stay, because emoji and Indic scripts need them.
"""

import codecs
import re
import sys
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
_ASCII = {"–": "-", "—": "-", "…": "...", "·": "-", "×": "x", "−": "-", "‘": "'", "’": "'", "“": '"', "”": '"'}
_ERRORS = "mimeo.terminal"


def printable(text: str, *, keeps_lines: bool = False) -> str:
    r"""The text with unsafe characters as `\x1b` or `\u202e`. keeps_lines: line feeds and tabs stay."""
    return _UNSAFE.sub(lambda found: _escape(found[0], "\n\t" if keeps_lines else ""), text)


def printable_json(document: str) -> str:
    r"""A JSON document with unsafe characters as `\u009b`, which a JSON reader turns into the same value."""
    return _UNSAFE.sub(lambda found: _json_escape(found[0]), document)


def replace_missing_characters() -> None:
    """Make the standard streams replace the characters that their encoding lacks. Call once, when a program starts."""
    codecs.register_error(_ERRORS, _replacement)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def is_unicode(console: Console) -> bool:
    """Whether the console can write every character."""
    return console.encoding.lower().replace("-", "").startswith("utf")


class SafeConsole(Console):
    """A console whose texts are always printable, also those inside tables, rules and progress bars."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of the renderable; those that control the cursor or the style stay."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(printable(segment.text, keeps_lines=True), segment.style)


def make_console(*, stderr: bool = False) -> Console:
    """A console of a standard stream, without highlighting."""
    return SafeConsole(stderr=stderr, highlight=False, emoji=False)


def _escape(character: str, kept: str) -> str:
    return character if character in kept else character.encode("unicode_escape").decode()


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _replacement(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_ASCII.get(character, "?") for character in missing), error.end
