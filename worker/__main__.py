"""`python -m worker training|generation`: one worker process. Exit code 2 and one line for unusable settings."""

import argparse
import os
import signal
import sys

from pydantic import ValidationError

from shared import logs, tracing
from shared.broker import CeleryBroker
from shared.errors import SetupError
from shared.job_status import QUEUED_KINDS, JobKind
from shared.settings import Settings, reason
from worker import app, openmp, side_by_side
from worker.context import make_context
from worker.trainer.stop_signal import end_with_parent


def main(arguments: list[str]) -> int:
    """Run a worker until a stop signal; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Take jobs of one kind and run them.")
    parser.add_argument("kind", choices=[kind.value for kind in QUEUED_KINDS])
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)  # one of several; it ends with this process
    options = parser.parse_args(arguments)
    if options.parent is not None and not _has_parent(options.parent):
        return 1
    kind = JobKind(options.kind)
    if kind is JobKind.GENERATION:  # it imports torch later, and shares the cores with trainers
        os.environ |= openmp.wait_policy(os.environ, is_alone=False)
    try:
        settings = Settings()
        logs.configure(settings, f"{kind.value}-worker")
        tracing.configure(f"{kind.value}-worker")
        context = make_context(settings, kind, CeleryBroker(settings))
    except (SetupError, ValidationError) as error:
        print(f"mimeo: {reason(error)}", file=sys.stderr)
        return 2
    if kind is JobKind.TRAINING and options.parent is None:
        processes = side_by_side.count(settings, context.devices)
        if processes > 1:
            return side_by_side.SideBySide([sys.executable, "-m", "worker", kind]).run(processes)
    app.run(context)
    return 0


def _has_parent(pid: int) -> bool:
    """Whether the parent is alive. Its end sends this process a stop signal."""
    end_with_parent(signal.SIGTERM)
    return os.getppid() == pid


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the consumer handles signals
        sys.exit(128 + signal.SIGINT)
