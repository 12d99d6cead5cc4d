"""`python -m stack.backup create|verify|restore PATH`, the programs of `mimeo backup` and `mimeo restore`.

Exit status: 0 success, 1 a backup that lacks files that storage has lost, 2 and one line of reason on failure.
"""

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from shared.errors import MimeoError, SetupError
from shared.settings import Settings, reason
from stack.backup.contents import BackupError, Manifest
from stack.backup.creating import create
from stack.backup.restoring import restore, verify

_LOST_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status."""
    options = _parse(arguments)
    try:
        settings = _settings(options)
        os.umask(0o077)  # a backup holds prompts, outputs and uploads
        manifest = _run(settings, options["command"], options["path"])
    except (SetupError, ValidationError) as error:
        print(f"mimeo: {reason(error)}", file=sys.stderr)
        return 2
    except MimeoError as error:
        print(f"mimeo: {error.detail}", file=sys.stderr)
        return 2
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        print(f"mimeo: The database cannot be used: {cause}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"mimeo: {error.strerror or error}: {error.filename or 'storage'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    _report(options["command"], options["path"], manifest)
    return 1 if manifest.lost and options["command"] == "create" else 0


def _parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m stack.backup", description="Back up and restore a stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, prog, text in (
        ("create", "mimeo backup", "write a backup of the stack, which may be running"),
        ("verify", None, "compare every part of a backup with its checksum"),
        ("restore", "mimeo restore", "restore a backup into an empty stack"),
    ):
        command = commands.add_parser(name, prog=prog, help=text, description=text.capitalize() + ".")
        command.add_argument("path", type=Path, help="a folder, or a file that ends with .zip")
        command.add_argument("--home", help="folder of the stack's data (MIMEO_HOME, default ./.mimeo)")
    return {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}


def _settings(options: dict[str, Any]) -> Settings:
    if "home" in options:
        os.environ["MIMEO_HOME"] = options["home"]  # also for the migrations
    return Settings()


def _run(settings: Settings, command: str, path: Path) -> Manifest:
    if command == "create":
        return create(settings, path)
    if command == "verify":
        return verify(path)
    with _home_locked(settings):
        return restore(settings, path)


@contextmanager
def _home_locked(settings: Settings) -> Iterator[None]:
    """Keep `mimeo up` from starting in the home within the block. Raises BackupError while it runs there."""
    folder = settings.home_path / "run"
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise BackupError(f"A stack runs in {settings.home_path}; stop it before you restore.") from error
    finally:
        os.close(descriptor)


def _report(command: str, path: Path, manifest: Manifest) -> None:
    rows = sum(part.rows for part in manifest.tables.values())
    done = {"create": "Wrote", "verify": "Verified", "restore": "Restored"}[command]
    print(f"{done} {path}: {rows:,} rows, {manifest.files.rows:,} files, {manifest.size:,} bytes.")
    if manifest.lost:
        verb = "are not in storage as they were written" if command == "create" else "were lost before the backup"
        print(f"mimeo: {len(manifest.lost):,} files {verb}:", file=sys.stderr)
        for lost in manifest.lost[:_LOST_SHOWN]:
            print(f"  {lost.key}: {lost.reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
