"""`python -m worker training` with another trainer: `python -m tests.chaos.worker_main OPTIONS`.

OPTIONS is a JSON object: `trainer` (the command to which specification and run folder are appended), `clock_s` (the
offset of this process's clock). SIGUSR2 stops its consumer: alive and connected, but no longer receiving
notifications.
"""

import json
import signal
import sys
from typing import Any

from shared.job_status import JobKind
from tests.chaos import clock


def main(options: dict[str, Any]) -> None:
    """Run the worker until SIGTERM."""
    if options.get("clock_s"):
        clock.shift(options["clock_s"])

    from dataclasses import replace

    from kombu.transport.redis import Channel

    from shared import logs
    from shared.broker import CeleryBroker
    from shared.settings import Settings
    from worker import app
    from worker.context import make_context

    def stop_consumer(*_: object) -> None:
        setattr(Channel, "_brpop_start", lambda _channel, timeout=1: None)  # noqa: B010
        print("consumer stopped", flush=True)

    signal.signal(signal.SIGUSR2, stop_consumer)
    settings = Settings()
    logs.configure(settings, "worker")
    app.run(replace(make_context(settings, JobKind.TRAINING, CeleryBroker(settings)), trainer=options["trainer"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
