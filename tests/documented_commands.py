"""The command lines of the README and the documentation."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_PROGRAMS = r"(?:mimeo|curl|make|docker|python|\.venv/bin/\w+|git|source|echo|tensorboard)"
_FENCE = re.compile(r"^```(sh|shell|bash|console|)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(rf"`((?:[A-Z_]+=\S+ )*{_PROGRAMS} [^`]+)`")
_START = re.compile(rf"^(?:[A-Z_]+=\S+ )*{_PROGRAMS}\b")


@dataclass(frozen=True)
class Command:
    """A command line. text: without its comment, on one or several lines. page: relative to the repository."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """The words as a shell splits them, without variables before the program."""
        words = shlex.split(self.text, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        return words

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0]}"


def commands() -> list[Command]:
    """Every command line of every page, each once per page."""
    found = [Command(str(page.relative_to(ROOT)), text) for page in PAGES for text in _of_page(page.read_text())]
    return list(dict.fromkeys(found))


def _of_page(text: str) -> Iterator[str]:
    for fence in _FENCE.finditer(text):
        if fence[1] or _START.match(fence[2]):
            yield from _of_block(fence[2])
    for span in _INLINE.finditer(_FENCED.sub("", text)):
        yield span[1].strip()


def _of_block(block: str) -> Iterator[str]:
    """The command lines of a block: a line ends where its quotes and backslashes are closed."""
    lines: list[str] = []
    for line in block.splitlines():
        lines.append(line)
        text = "\n".join(lines)
        if text.endswith("\\"):
            continue
        try:
            words = shlex.split(text, comments=True)
        except ValueError:  # an open quote
            continue
        lines = []
        if words:
            yield _without_comment(text)
    assert not lines, f"the block ends within a command: {lines}"


def _without_comment(text: str) -> str:
    return re.sub(r"\s+#[^'\"\n]*$", "", text).strip()
