"""`python -m stack`, the program of `mimeo up`: the whole stack in the foreground until Ctrl-C or SIGTERM.

Exit status: 0 after an orderly stop, 1 when the stack failed, 2 when the configuration does not permit a start.
"""

import argparse
import io
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.errors import SetupError
from shared.settings import Settings, check_exposure, reason
from stack import parent_death_signal
from stack.checks import check_port, hold_lock, migrate, prepare_home
from stack.programs import programs
from stack.running import Stack

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stack. Returns the exit status."""
    started = time.monotonic()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # paths and messages that the terminal cannot show
    try:
        options = _parse(arguments)
        if options.pop("end_with_parent") and sys.platform == "linux":
            parent_death_signal.set_parent_death_signal()
        settings = _settings(options)
        check_exposure(settings)
        os.umask(0o077)  # inherited by every process of the stack
        prepare_home(settings)
        lock = hold_lock(settings)
        check_port(settings.host, settings.port)
        environment = _environment(settings)
        migrate(environment)
        return Stack(settings, programs(settings), environment, started=started).run(lock)
    except SetupError as error:
        print(f"mimeo: {error.detail}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the stack has its signal handlers: no process runs yet
        return 130


def _parse(arguments: Sequence[str] | None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="mimeo up", description="Run the whole stack in the foreground until Ctrl-C.")
    parser.add_argument("--home", help="folder of the stack's data and logs (MIMEO_HOME, default ./.mimeo)")
    parser.add_argument("--host", help="address the API listens on (MIMEO_HOST, default 127.0.0.1)")
    parser.add_argument("--port", help="port the API listens on (MIMEO_PORT, default 8000)")
    parser.add_argument("--end-with-parent", action="store_true", help="stop when the parent process ends")
    return {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}


def _settings(options: dict[str, Any]) -> Settings:
    try:
        return Settings(**options)
    except ValidationError as error:
        raise SetupError(reason(error, options)) from error


def _environment(settings: Settings) -> dict[str, str]:
    """Environment of every process of the stack: that of `mimeo up`, with absolute folders."""
    search_path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "MIMEO_HOME": str(settings.home_path),
        "MIMEO_HOST": settings.host,
        "MIMEO_PORT": str(settings.port),
        "PYTHONPATH": os.pathsep.join(search_path),
        "PYTHONUNBUFFERED": "1",
    }
    if settings.datasets_dir is not None:
        environment["MIMEO_DATASETS_DIR"] = str(settings.datasets_dir.expanduser().resolve())
    return environment


if __name__ == "__main__":
    sys.exit(main())
