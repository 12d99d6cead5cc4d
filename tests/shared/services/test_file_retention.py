"""Removal of checkpoints, samples and event files of ended jobs."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Artifact, Checkpoint, JobEvent, PendingDeletion
from shared.job_status import JobStatus
from shared.services import attempt_writes, file_retention, job_queue, transitions
from shared.services.attempt_writes import StoredCheckpoint, StoredFile
from shared.services.file_retention import FileKind, PrunableJob
from shared.services.job_queue import Lease
from shared.settings import Settings
from tests import jobs


def with_files(database: SessionFactory, lease: Lease) -> None:
    """Four checkpoints, of which the first is the best, and three samples and event files."""
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        for step in (1, 2, 3, 4):
            key = f"jobs/{lease.job_id}/checkpoints/{step}"
            row = StoredCheckpoint(
                epoch=1, step=step, storage_key=key, sha256=64 * "0", size=10, is_best=step == 1, metrics={}
            )
            attempt_writes.add_checkpoint(fenced, row)
        files = [
            StoredFile(
                kind=kind,
                name=f"{kind}-{step}",
                media_type="image/png",
                storage_key=f"jobs/{lease.job_id}/{kind}-{step}",
                sha256=hashlib.sha256(b"").hexdigest(),
                size=step,
                step=step,
            )
            for kind in ("sample", "tensorboard")
            for step in (1, 2, 3)
        ]
        attempt_writes.add_artifacts(fenced, files)


@pytest.fixture
def ended(database: SessionFactory, settings: Settings) -> str:
    """A job that was cancelled eight days ago."""
    lease = jobs.running(database, settings)
    with_files(database, lease)
    at = datetime.now(UTC) - timedelta(days=8)
    jobs.set_values(database, lease.job_id, status=JobStatus.CANCELLED, finished_at=at, worker=None)
    return lease.job_id


def found(
    database: SessionFactory,
    kind: FileKind,
    *,
    days: float = 7,
    keep_last: int = 1,
    statuses: tuple[JobStatus, ...] = (),
) -> list[PrunableJob]:
    with reading(database) as session:
        return file_retention.removable(session, kind, days=days, keep_last=keep_last, statuses=statuses, limit=100)


def removed(database: SessionFactory, kind: FileKind, pruned: list[PrunableJob]) -> list[PrunableJob]:
    with transaction(database) as session:
        return file_retention.remove(session, kind, pruned)


def left(database: SessionFactory, job_id: str) -> tuple[list[int], list[str]]:
    with reading(database) as session:
        steps = [row.step for row in session.query(Checkpoint).filter_by(job_id=job_id).order_by(Checkpoint.step)]
        names = [row.name for row in session.query(Artifact).filter_by(job_id=job_id).order_by(Artifact.name)]
        return steps, names


def test_newest_and_best_checkpoint_stay_and_the_rest_is_removed_with_an_event(
    database: SessionFactory, ended: str
) -> None:
    assert found(database, FileKind.CHECKPOINTS, days=9) == []
    assert found(database, FileKind.CHECKPOINTS, statuses=(JobStatus.FAILED,)) == []
    [job] = found(database, FileKind.CHECKPOINTS, statuses=(JobStatus.CANCELLED, JobStatus.RUNNING))
    assert (job.id, len(job.ids), job.size) == (ended, 2, 20)
    version = jobs.read_job(database, ended).version

    [done] = removed(database, FileKind.CHECKPOINTS, [job])

    assert (done.size, left(database, ended)[0]) == (20, [1, 4])
    assert jobs.read_job(database, ended).version == version + 1
    with reading(database) as session:
        keys = {row.storage_key for row in session.query(PendingDeletion)}
        event = session.query(JobEvent).filter_by(job_id=ended, type="pruned").one()
    assert keys == {f"jobs/{ended}/checkpoints/2", f"jobs/{ended}/checkpoints/3"}
    assert event.data == {"kind": "checkpoints", "count": 2, "size": 20}
    assert [len(job.ids) for job in found(database, FileKind.CHECKPOINTS, keep_last=0)] == [2]


@pytest.mark.parametrize(("kind", "name"), [(FileKind.SAMPLES, "sample"), (FileKind.EVENT_FILES, "tensorboard")])
def test_files_of_one_kind_are_removed_and_the_last_stay(
    database: SessionFactory, ended: str, kind: FileKind, name: str
) -> None:
    removed(database, kind, found(database, kind, keep_last=2))
    names = left(database, ended)[1]
    assert [each for each in names if each.startswith(name)] == [f"{name}-2", f"{name}-3"]
    assert len(names) == 5


def test_unfinished_jobs_published_weights_and_weights_in_use_stay(
    database: SessionFactory, settings: Settings, ended: str
) -> None:
    running = jobs.running(database, settings)
    with_files(database, running)
    with reading(database) as session:
        third = session.query(Checkpoint).filter_by(job_id=ended, step=3).one().id
    jobs.submitted(database, settings, init_from=third)

    pruned = found(database, FileKind.CHECKPOINTS)

    assert [(job.id, len(job.ids)) for job in pruned] == [(ended, 1)]
    assert third not in pruned[0].ids


def test_job_that_is_retried_meanwhile_keeps_its_files(database: SessionFactory, ended: str) -> None:
    pruned = found(database, FileKind.CHECKPOINTS, keep_last=0)
    with transaction(database) as session:
        transitions.retry(session, ended)

    assert removed(database, FileKind.CHECKPOINTS, pruned) == []
    assert left(database, ended)[0] == [1, 2, 3, 4]
