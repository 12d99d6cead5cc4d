"""A generation worker process with a model that never finishes; SIGTERM stops it."""

import signal
import time
from typing import Any

from shared.broker import NullBroker
from shared.db.session import transaction
from shared.db.tables import GenerationJob
from shared.job_status import JobKind
from shared.services import job_queue
from shared.settings import Settings
from worker.attempts.generation import sample
from worker.context import make_context
from worker.generation.engine import GenerationEngine


class Endless(GenerationEngine):
    """A generator that never returns."""

    def generate(self, *arguments: Any, **options: Any) -> Any:
        while True:
            time.sleep(0.1)


if __name__ == "__main__":
    context = make_context(Settings(), JobKind.GENERATION, NullBroker())
    signal.signal(signal.SIGTERM, lambda *_: context.stopping.set())
    with transaction(context.sessions) as session:
        job = job_queue.claim_next(session, JobKind.GENERATION, context.id)
    assert isinstance(job, GenerationJob)
    sample(context, job, Endless(context.settings, context.storage))
