"""Which running training gives way to a waiting one, and what ends the request."""

import pytest
from sqlalchemy import Engine, select

from shared.broker import NullBroker
from shared.db import owned_rows
from shared.db.session import SessionFactory, read_connection, reading, transaction
from shared.db.tables import JobEvent
from shared.job_status import JobKind, JobStatus
from shared.services import fair_share, job_queue, preemption, reaping, transitions
from shared.services.job_queue import Lease
from shared.settings import Settings
from tests import jobs
from tests.engine.fake_clock import FakeClock
from tests.heartbeats import beat
from worker.reconciler import Reconciler


@pytest.fixture
def clock(engine: Engine) -> FakeClock:
    return FakeClock(engine)


def running(database: SessionFactory, settings: Settings, **body: object) -> Lease:
    return jobs.running(database, settings, **{"preemptible": True, "priority": "low", **body})


def preempted(database: SessionFactory, settings: Settings) -> str | None:
    """The job that a round of the reconciler chooses."""
    with read_connection(database) as connection:
        is_possible = preemption.is_possible(connection, settings)
    with transaction(database) as session:
        chosen = preemption.preempt(session, settings)
    assert is_possible or chosen is None
    return chosen


def event_types(database: SessionFactory, job_id: str) -> list[str]:
    with reading(database) as session:
        return list(session.scalars(select(JobEvent.type).where(JobEvent.job_id == job_id).order_by(JobEvent.id)))


def age(clock: FakeClock, settings: Settings) -> None:
    clock.advance(round(1000 * settings.preempt_after_s))


def end(database: SessionFactory, lease: Lease) -> JobStatus:
    with transaction(database) as session:
        return job_queue.release(job_queue.renew_lease(session, lease))


def test_lowest_priority_gives_way_and_keeps_its_attempt(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    normal = running(database, settings, priority="normal")
    low = running(database, settings)
    age(clock, settings)
    high = jobs.submitted(database, settings, priority="high")
    clock.advance(round(1000 * settings.heartbeat_s))

    assert preempted(database, settings) == low.job_id
    assert preempted(database, settings) is None, "one job gives way for each that waits"
    assert end(database, low) is JobStatus.QUEUED

    job = jobs.read_job(database, low.job_id)
    assert (job.attempt, job.preempted_by) == (0, None)
    assert event_types(database, low.job_id) == ["queued", "running", "preempting", "preempted"]
    claimed = jobs.claimed(database)
    assert claimed is not None
    assert claimed.job_id == high
    assert jobs.read_job(database, normal.job_id).preempted_by is None


@pytest.mark.parametrize(
    ("body", "waited"),
    [({"priority": "low"}, True), ({"priority": "high"}, False)],
    ids=["the same priority", "a worker may be about to claim it"],
)
def test_job_that_waits_preempts_none(
    database: SessionFactory, settings: Settings, clock: FakeClock, body: dict[str, str], waited: bool
) -> None:
    running(database, settings)
    age(clock, settings)
    jobs.submitted(database, settings, **body)
    clock.advance(round(1000 * settings.heartbeat_s) if waited else 1)
    assert preempted(database, settings) is None


@pytest.mark.parametrize("body", [{"preemptible": False}, {"priority": "high"}])
def test_job_that_runs_is_not_preempted(
    database: SessionFactory, settings: Settings, clock: FakeClock, body: dict[str, object]
) -> None:
    running(database, settings, **body)
    age(clock, settings)
    jobs.submitted(database, settings, priority="high")
    clock.advance(round(1000 * settings.heartbeat_s))
    assert preempted(database, settings) is None


def test_attempt_runs_for_a_while_before_it_gives_way(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    running(database, settings)
    jobs.submitted(database, settings, priority="high")
    clock.advance(round(1000 * settings.preempt_after_s) - 1)
    assert preempted(database, settings) is None
    clock.advance(1)
    assert preempted(database, settings) is not None


def test_idle_worker_takes_the_job_without_preemption(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    running(database, settings)
    age(clock, settings)
    jobs.submitted(database, settings, priority="high")
    clock.advance(round(1000 * settings.heartbeat_s))
    for name in ("wrk_test", "wrk_idle"):
        beat(database, name)
    assert preempted(database, settings) is None


def test_job_whose_owner_has_no_turn_preempts_none(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    running(database, settings, owner="a")
    age(clock, settings)
    with transaction(database) as session:
        fair_share.charge(session, JobKind.TRAINING, {"b": 3_600_000})
        owned_rows.restrict(session, "b")
        jobs.submit(session, settings, priority="high")
        owned_rows.restrict(session, "a")
        jobs.submit(session, settings, priority="low")
    clock.advance(round(1000 * settings.heartbeat_s))
    assert preempted(database, settings) is None, "the next turn is that of owner a"


def test_request_ends_with_a_lost_worker(database: SessionFactory, settings: Settings, clock: FakeClock) -> None:
    lease = running(database, settings)
    age(clock, settings)
    jobs.submitted(database, settings, priority="high")
    clock.advance(round(1000 * settings.heartbeat_s))
    assert preempted(database, settings) == lease.job_id
    clock.advance(round(1000 * settings.lease_s) + 1)
    with transaction(database) as session:
        reaping.reap_expired(session, settings)
    job = jobs.read_job(database, lease.job_id)
    assert (job.status, job.attempt, job.preempted_by) == (JobStatus.QUEUED, 1, None)


def test_round_of_the_reconciler_preempts_and_a_later_one_is_not_needed(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    lease = running(database, settings)
    age(clock, settings)
    jobs.submitted(database, settings, priority="high")
    clock.advance(round(1000 * settings.heartbeat_s))
    with transaction(database) as session:  # the trainer works meanwhile
        job_queue.renew_lease(session, lease)
    Reconciler(settings, database, NullBroker()).round()  # this one ends here
    with read_connection(database) as connection:
        assert job_queue.control(connection, lease).is_preempted
    assert end(database, lease) is JobStatus.QUEUED


def test_cancel_and_pause_take_effect_instead(database: SessionFactory, settings: Settings, clock: FakeClock) -> None:
    for action, status in (("cancel", JobStatus.CANCELLED), ("pause", JobStatus.PAUSED)):
        lease = running(database, settings)
        jobs.set_values(database, lease.job_id, preempted_by="trn_other")
        with transaction(database) as session:
            getattr(transitions, action)(session, lease.job_id)
        assert end(database, lease) is status
        assert jobs.read_job(database, lease.job_id).preempted_by is None
