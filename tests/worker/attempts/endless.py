"""A generation worker process whose last block never ends; SIGTERM stops it.

Argument: the number of generations that it begins, of rising priority, each of which interrupts the one before.
"""

import signal
import sys
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

    begun = 0

    def generate(self, *_: Any, **options: Any) -> Any:
        self.begun += 1
        is_last = self.begun == int(sys.argv[1])
        while True:
            time.sleep(0.1)
            if not is_last:
                options["between_blocks"]()


if __name__ == "__main__":
    context = make_context(Settings(), JobKind.GENERATION, NullBroker())
    signal.signal(signal.SIGTERM, lambda *_: context.stopping.set())
    with WorkerHeartbeat(context) as worker_heartbeat:
        assert generate_next(context, worker_heartbeat, Endless(context.settings, context.storage))
