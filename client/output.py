"""Output of the commands: results on standard output, remarks on standard error.

Every text passes `client.terminal`, whatever its origin. `write_text` and `print_json` are for data.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from client.terminal import is_unicode, make_console, printable, printable_json

out = make_console()
err = make_console(stderr=True)


def print_json(value: Any) -> None:
    """One line of JSON. It is ASCII where the encoding lacks characters, so that every value stays the same."""
    sys.stdout.write(printable_json(json.dumps(value, ensure_ascii=not is_unicode(out))) + "\n")
    sys.stdout.flush()


def line(text: str) -> None:
    """One line on standard output."""
    out.print(printable(text), markup=False, soft_wrap=True)


def heading(text: str) -> None:
    """A heading on standard output, after an empty line."""
    out.print(f"\n[bold]{escape(printable(text))}[/bold]")


def write_text(text: str) -> None:
    """A generated text on standard output, with its lines and tabs. Bytes without any change: `--out -`."""
    sys.stdout.write(printable(text, keeps_lines=True) + "\n")


def remark(text: str) -> None:
    """A remark on standard error, which is never part of the result."""
    err.print(printable(text, keeps_lines=True), markup=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal; tab-separated lines with a header on a pipe."""
    shown = [[printable(str(cell)) for cell in row] for row in (columns, *rows)]
    if not out.is_terminal:
        for row in shown:
            sys.stdout.write("\t".join(row) + "\n")
        return
    grid = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in shown[0]:
        grid.add_column(column, overflow="fold")
    for row in shown[1:]:
        grid.add_row(*(escape(cell) for cell in row))
    out.print(grid)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair per line; empty values are left out."""
    shown = [(printable(name), printable(str(value))) for name, value in pairs if value not in (None, "", "–")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        out.print(f"[bold]{escape(name.ljust(width))}[/bold]  {escape(value)}", soft_wrap=True)
