"""Conditions of the database after every step: it equals the model, and nothing final changes."""

from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.db.tables import Artifact, Checkpoint, Job, JobEvent, Metric, Model, PendingDeletion
from shared.job_status import QUEUED_KINDS
from shared.job_status import JobStatus as S
from shared.services import queue_stats
from tests.engine.model import ENDED, RUNNING_LIMIT, ModelJob
from tests.engine.model import Model as Expectation

COUNTED = 2  # positions, beside all of them: queues in the tests are short


@dataclass(frozen=True, kw_only=True)
class Observation:
    """The last observation of one job."""

    status: S
    attempt: int
    token: int
    version: int
    events: int


@dataclass
class Observations:
    """The last observation of each job, by id."""

    seen: dict[str, Observation] = field(default_factory=dict)

    def record(self, job: Job, events: int) -> None:
        """Check that tokens and versions only rise, terminal states are final, and each transition has an event."""
        now = Observation(
            status=job.status, attempt=job.attempt, token=job.fencing_token, version=job.version, events=events
        )
        before = self.seen.get(job.id)
        if before is not None:
            assert now.token >= before.token
            assert now.events >= before.events
            if (now.status, now.attempt) != (before.status, before.attempt):
                assert now.version > before.version
                assert now.events > before.events, f"{before.status} → {now.status} left no event"
            if before.status in ENDED and now.status is not before.status:
                assert (before.status, now.status, now.attempt) in {
                    (S.FAILED, S.QUEUED, 0),
                    (S.CANCELLED, S.QUEUED, 0),
                }, "only a retry leaves a terminal status"
        self.seen[job.id] = now


def compare(session: Session, expected: Expectation, ids: list[str], observations: Observations, now_ms: int) -> None:
    """Check that every accepted job exists and equals its model."""
    rows = {job.id: job for job in session.scalars(select(Job))}
    assert set(rows) == {ids[number] for number in expected.jobs}, "an accepted job is lost, or a deleted one exists"
    counts = select(JobEvent.job_id, func.count()).group_by(JobEvent.job_id)
    events = {row[0]: row[1] for row in session.execute(counts)}
    for number, job in expected.jobs.items():
        row = rows[ids[number]]
        observations.record(row, events[row.id])
        assert _actual(row) == _expected(job)
        place = expected.position(job, now_ms)
        assert queue_stats.queue_position(session, row, running_limit=RUNNING_LIMIT[row.kind]) == place
        few = queue_stats.queue_position(session, row, counted=COUNTED, running_limit=RUNNING_LIMIT[row.kind])
        assert few == _counted(place)
    for kind in QUEUED_KINDS:
        of_kind = [row for row in rows.values() if row.kind == kind]
        positions = {
            ids[number]: place
            for number, job in expected.jobs.items()
            if job.kind == kind and (place := expected.position(job, now_ms)) is not None
        }
        limit = RUNNING_LIMIT[kind]
        assert queue_stats.queue_positions(session, of_kind, running_limit=limit) == positions
        capped = {job_id: _counted(place) for job_id, place in positions.items()}
        assert queue_stats.queue_positions(session, of_kind, counted=COUNTED, running_limit=limit) == capped
    _compare_records(session, expected, ids)


def _counted(place: int | None) -> int | None:
    return None if place is None else min(place, COUNTED + 1)


def _compare_records(session: Session, expected: Expectation, ids: list[str]) -> None:
    kept = select(Checkpoint.job_id, Checkpoint.step, Checkpoint.is_best)
    assert {tuple(row) for row in session.execute(kept)} == {
        (ids[number], step, is_best)
        for number, job in expected.jobs.items()
        for step, is_best in job.checkpoints.items()
    }
    published = select(Model.job_id, Checkpoint.step).join(Checkpoint, Model.checkpoint_id == Checkpoint.id)
    assert sorted(tuple(row) for row in session.execute(published)) == sorted(
        (ids[number], job.published) for number, job in expected.jobs.items() if job.published is not None
    ), "a job has published twice, or never"
    outputs = sorted(session.scalars(select(Artifact.job_id)))
    assert outputs == sorted(
        ids[number] for number, job in expected.jobs.items() if job.kind == "generation" and job.status is S.SUCCEEDED
    )
    points = select(Metric.job_id, Metric.step, Metric.value)
    assert {tuple(row) for row in session.execute(points)} == {
        (ids[number], step, value) for number, job in expected.jobs.items() for step, value in job.metrics.items()
    }
    assert set(session.scalars(select(PendingDeletion.storage_key))) == {
        f"jobs/{ids[number]}" for number in expected.deleted
    }


def _actual(row: Job) -> tuple[object, ...]:
    heartbeat = None if row.heartbeat_at is None else round(row.heartbeat_at.timestamp() * 1000)
    error = row.error["code"] if row.error else None
    return row.kind, row.priority, row.status, row.attempt, row.fencing_token, heartbeat, error


def _expected(job: ModelJob) -> tuple[object, ...]:
    return job.kind, job.rank, job.status, job.attempt, job.token, job.heartbeat_ms, job.error
