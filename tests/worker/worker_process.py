"""A real worker process with a trainer that has no model: `python -m tests.worker.worker_process BEHAVIOUR`."""

import sys
from dataclasses import replace

from shared import logs
from shared.broker import CeleryBroker
from shared.job_status import JobKind
from shared.settings import Settings
from tests.worker.attempts.harness import behaving
from worker import app
from worker.context import make_context

if __name__ == "__main__":
    settings = Settings()
    logs.configure(settings, "worker")
    context = make_context(settings, JobKind.TRAINING, CeleryBroker(settings))
    app.run(replace(behaving(context, sys.argv[1]), id=f"wrk_{context.pid}"))
