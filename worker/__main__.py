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
from worker import app, openmp
from worker.context import make_context


def main(arguments: list[str]) -> int:
    """Run a worker until a stop signal; returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Take jobs of one kind and run them.")
    parser.add_argument("kind", choices=[kind.value for kind in QUEUED_KINDS])
    kind = JobKind(parser.parse_args(arguments).kind)
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
    app.run(context)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # before the consumer handles signals
        sys.exit(128 + signal.SIGINT)
