"""Fills a new home of the checkout in the current folder: a model, a large file and finished jobs. Prints their ids.

It runs with the interpreter of that checkout, so it uses only code that both sides have.
"""

import json
import os
import sys

from shared.broker import NullBroker
from shared.db.session import make_engine, session_factory, transaction
from shared.db.tables import Artifact
from shared.job_status import JobKind
from shared.services import training_jobs
from shared.settings import Settings
from shared.specs import parse_training
from shared.storage import Storage
from tests.api.worker_hands import WorkerWrites

settings = Settings()
sessions = session_factory(make_engine(settings))
worker = WorkerWrites(settings, sessions, Storage.open_url(settings.resolved_storage_url), NullBroker())
request = parse_training({"model_type": "vae", "dataset": "digits"})
jobs = []
for number in range(int(sys.argv[1])):
    with transaction(sessions) as session:
        jobs.append(training_jobs.submit(session, request, settings=settings).id)
    lease = worker.claim(JobKind.TRAINING)
    if number == 0:
        worker.file(lease, "large.bin", os.urandom(64 << 20), media_type="application/octet-stream")
    model = worker.publish(lease)
with transaction(sessions) as session:
    large = session.query(Artifact.id).filter_by(name="large.bin").scalar()
print(json.dumps({"model": model, "jobs": jobs, "large": large}))
