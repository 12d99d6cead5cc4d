"""`python -m migrations upgrade|downgrade|current [REVISION]`: exit code 2 and one line on failure."""

import argparse
import sys

from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from migrations import runner
from shared.errors import SetupError
from shared.settings import Settings


def main(arguments: list[str]) -> int:
    """Run one command. Returns the exit status of the process."""
    parser = argparse.ArgumentParser(
        prog="python -m migrations", description="Move Mimeo's database between revisions."
    )
    parser.add_argument("command", choices=("upgrade", "downgrade", "current"))
    parser.add_argument("revision", nargs="?", help="head for upgrade and base for downgrade when left out")
    options = parser.parse_args(arguments)
    try:
        print(_run(Settings(), options.command, options.revision))
    except (SetupError, CommandError, ValidationError, SQLAlchemyError, OSError) as error:
        print(f"mimeo: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _run(settings: Settings, command: str, revision: str | None) -> str:
    if command == "upgrade":
        runner.upgrade(settings, revision or "head")
    if command == "downgrade":
        runner.downgrade(settings, revision or "base")
    revision_now, newest = runner.current(settings)
    return f"The database is at revision {revision_now or 'base (empty)'}; the newest is {newest}."


def _one_line(error: Exception) -> str:
    if isinstance(error, SQLAlchemyError):
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        return f"The database cannot be used: {cause}"
    return " ".join(str(error).split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
