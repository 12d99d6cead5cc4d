"""A generation worker process with a model that never finishes; SIGTERM stops it."""

import signal
import time
from typing import Any

from shared.broker import NullBroker
from shared.job_status import JobKind
from shared.settings import Settings
from tests.worker.attempts.harness import generate_next
from worker.context import make_context
from worker.generation.engine import GenerationEngine
from worker.worker_heartbeat import WorkerHeartbeat


class Endless(GenerationEngine):
    """A generator that never returns."""

    def generate(self, *arguments: Any, **options: Any) -> Any:
        while True:
            time.sleep(0.1)


if __name__ == "__main__":
    context = make_context(Settings(), JobKind.GENERATION, NullBroker())
    signal.signal(signal.SIGTERM, lambda *_: context.stopping.set())
    with WorkerHeartbeat(context) as worker_heartbeat:
        assert generate_next(context, worker_heartbeat, Endless(context.settings, context.storage))
