"""`python -m worker training` in every respect but the trainer: `python -m tests.chaos.worker_main OPTIONS`.

OPTIONS is a JSON object: `trainer` (the command to which specification and run folder are appended), `clock_s` (how far
this process's clock is off). SIGUSR2 makes it deaf: alive, connected, and taking no message any more.
"""

import json
import signal
import sys
from typing import Any

from shared.job_status import JobKind
from tests.chaos import clock


def main(options: dict[str, Any]) -> None:
    """Run the worker until it is told to stop."""
    if options.get("clock_s"):
        clock.shift(options["clock_s"])

    from dataclasses import replace

    from kombu.transport.redis import Channel

    from shared import logs
    from shared.broker import CeleryBroker
    from shared.settings import Settings
    from worker import app
    from worker.context import make_context

    def go_deaf(*_: object) -> None:
        setattr(Channel, "_brpop_start", lambda _channel, timeout=1: None)  # noqa: B010
        print("listens no more", flush=True)

    signal.signal(signal.SIGUSR2, go_deaf)
    settings = Settings()
    logs.configure(settings)
    app.run(replace(make_context(settings, JobKind.TRAINING, CeleryBroker(settings)), trainer=options["trainer"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
