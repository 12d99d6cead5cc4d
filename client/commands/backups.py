"""`mimeo backup` and `mimeo restore`: they run beside the database, so another program does the work."""

import os
import sys
from typing import NoReturn

import typer


def backup(context: typer.Context) -> None:
    """Back up the database and its files, also while jobs run (`mimeo backup --help`)."""
    _become("create", context)


def restore(context: typer.Context) -> None:
    """Restore a backup into an empty stack (`mimeo restore --help`)."""
    _become("restore", context)


def _become(command: str, context: typer.Context) -> NoReturn:
    os.execv(sys.executable, [sys.executable, "-m", "stack.backup", command, *context.args])  # noqa: S606  without a shell
