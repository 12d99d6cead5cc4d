"""After a crash: restart all parts, run until every job has ended, and check that no error remains."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import select

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading
from shared.db.tables import Artifact, Checkpoint, Job, Model
from shared.job_status import JobKind, JobStatus
from shared.settings import Settings
from shared.storage import Storage
from tests.engine import programs
from tests.waiting import PATIENCE_S
from worker.attempts import workdir
from worker.checkpoints.manifest import verify
from worker.reconciler import Reconciler
from worker.sweeper import Sweeper

WORK: dict[JobKind, Callable[[Settings], None]] = {
    JobKind.TRAINING: programs.work,
    JobKind.GENERATION: programs.generate,
}


def restart(settings: Settings, database: SessionFactory) -> None:
    """Run a reconciler and one worker of each kind in turn until every job has ended."""
    broker = NullBroker()
    short_leases = settings.model_copy(update={"lease_s": 0.2, "notification_stale_s": 0.1})
    # No worker runs during a round, so every lease is that of a dead worker.
    reconciler = Reconciler(short_leases, database, broker)
    deadline = time.monotonic() + PATIENCE_S
    while not _all_ended(database):
        assert time.monotonic() < deadline
        reconciler.round()
        for kind, work in WORK.items():
            while broker.take(kind) is not None:
                work(settings)
        time.sleep(0.02)


def check(settings: Settings, database: SessionFactory, storage: Storage) -> None:
    """Check that every job has one result, every file named by a row is complete, and no other file remains."""
    with reading(database) as session:
        jobs = list(session.scalars(select(Job)))
        checkpoints = list(session.scalars(select(Checkpoint)))
        artifacts = list(session.scalars(select(Artifact)))
        published = sorted(session.scalars(select(Model.job_id)))
    assert [job.status for job in jobs] == [JobStatus.SUCCEEDED] * len(jobs)
    assert published == sorted(job.id for job in jobs if job.kind == "training")
    assert {job.id for job in jobs} == {artifact.job_id for artifact in artifacts}
    for checkpoint in checkpoints:
        with TemporaryDirectory() as folder:
            storage.get_tree(checkpoint.storage_key, Path(folder) / "tree")
            assert verify(Path(folder) / "tree", weights_only=True).sha256 == checkpoint.sha256
    for artifact in artifacts:
        assert hashlib.sha256(storage.read_bytes(artifact.storage_key)).hexdigest() == artifact.sha256
    named = {row.storage_key for row in checkpoints} | {row.storage_key for row in artifacts}
    _check_nothing_is_left(settings, database, storage, named)


def _check_nothing_is_left(settings: Settings, database: SessionFactory, storage: Storage, named: set[str]) -> None:
    with programs.worker_context(settings, JobKind.TRAINING) as context:
        workdir.sweep(context)
    assert list(settings.runs_path.glob("*_*-*")) == []
    no_grace = settings.model_copy(update={"orphan_grace_s": 0.001})
    Sweeper(no_grace, database, storage).round()
    stored = {f"jobs/{name}" for name in storage.list_names("jobs", unfinished=True)}
    assert {key for key in stored if key not in named and key.rpartition("/")[0] not in named} == set()


def _all_ended(database: SessionFactory) -> bool:
    with reading(database) as session:
        return all(status.is_terminal for status in session.scalars(select(Job.status)))
