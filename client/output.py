"""Output of the commands: results on standard output, remarks on standard error."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """A remark on standard error, which is never part of the result."""
    err.print(text, markup=False, soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on a terminal; tab-separated lines with a header on a pipe."""
    if not out.is_terminal:
        for row in (columns, *rows):
            sys.stdout.write("\t".join(str(cell) for cell in row) + "\n")
        return
    grid = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(escape(str(cell)) for cell in row))
    out.print(grid)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one pair per line; empty values are left out."""
    shown = [(name, str(value)) for name, value in pairs if value not in (None, "", "–")]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        out.print(f"[bold]{escape(name.ljust(width))}[/bold]  {escape(value)}", soft_wrap=True)
