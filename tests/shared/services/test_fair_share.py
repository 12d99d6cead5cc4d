"""The fair share between owners: order of claims, use, and its limit of running jobs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from shared.db import owned_rows
from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Job, OwnerUse
from shared.errors import JobFailure
from shared.job_status import ErrorCode, JobKind, Priority
from shared.services import fair_share, job_queue, queue_stats, reaping
from shared.services.fair_share import EXPECTED_MS, HALF_LIFE_MS, Line, Share
from shared.services.job_queue import FencedSession
from shared.settings import Settings
from tests import jobs
from tests.engine import fair_queue
from tests.engine.fake_clock import FakeClock

KIND = JobKind.TRAINING


@pytest.fixture
def clock(engine: Engine) -> FakeClock:
    return FakeClock(engine)


def claimed_owners(database: SessionFactory, count: int, running_limit: int | None = None) -> list[str | None]:
    """Owners of the next claims, in their order; None: nothing was claimed."""
    leases = [jobs.claimed(database, running_limit=running_limit) for _ in range(count)]
    return [jobs.read_job(database, lease.job_id).owner if lease else None for lease in leases]


def use_ms(database: SessionFactory) -> dict[str, int]:
    """The stored use of trainings by owner."""
    with reading(database) as session:
        return {row.owner: row.used_ms for row in session.scalars(select(OwnerUse).where(OwnerUse.kind == KIND))}


def test_first_job_of_an_owner_does_not_wait_for_the_many_of_another(
    database: SessionFactory, engine: Engine, settings: Settings
) -> None:
    jobs.copy_behind(engine, jobs.submitted(database, settings, owner="many"), 1_000)
    late = jobs.submitted(database, settings, owner="few")

    with reading(database) as session:
        assert queue_stats.queue_position(session, session.get_one(Job, late)) == 1
    assert claimed_owners(database, 4) == ["few", "many", "many", "many"]


def test_owners_take_turns_and_priority_counts_within_an_owner(database: SessionFactory, settings: Settings) -> None:
    for owner, priority in [("a", "low"), ("a", "normal"), ("a", "high"), ("b", "low"), ("b", "normal")]:
        jobs.submitted(database, settings, owner=owner, priority=priority)

    leases = [jobs.claimed(database) for _ in range(5)]

    rows = [jobs.read_job(database, lease.job_id) for lease in leases if lease]
    assert [(row.owner, row.priority) for row in rows] == [("a", 0), ("b", 1), ("a", 1), ("b", 2), ("a", 2)]


def test_jobs_of_all_owners_are_one_group(database: SessionFactory, settings: Settings) -> None:
    shared = [jobs.submitted(database, settings, owner="x") for _ in range(2)]
    for job_id in shared:
        jobs.set_values(database, job_id, owner=None, share="")
    for _ in range(2):
        jobs.submitted(database, settings, owner="a")

    assert claimed_owners(database, 4) == [None, "a", None, "a"]


def test_owner_with_more_use_waits_until_the_other_has_used_as_much(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    for owner in ("a", "a", "a", "b", "b", "b", "b"):
        jobs.submitted(database, settings, owner=owner)
    first = jobs.claimed(database)
    assert first is not None
    clock.advance(150_000)
    with transaction(database) as session:
        job_queue.finish_succeeded(job_queue.renew_lease(session, first))

    assert use_ms(database) == {"a": 150_000}
    assert claimed_owners(database, 5) == ["b", "b", "b", "a", "b"]


def test_each_end_of_an_attempt_charges_its_time_once(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    failure = JobFailure(ErrorCode.INTERNAL, "It went wrong.")
    ends: list[Callable[[FencedSession], object]] = [
        job_queue.release,
        job_queue.finish_succeeded,
        lambda fenced: job_queue.finish_failed(fenced, failure, settings),
    ]
    for number, end in enumerate(ends, start=1):
        lease = jobs.running(database, settings, owner=f"owner-{number}")
        clock.advance(1_000 * number)
        with transaction(database) as session:
            end(job_queue.renew_lease(session, lease))
        jobs.cancel(database, lease.job_id) if end is not job_queue.finish_succeeded else None
    assert use_ms(database) == {"owner-1": 1_000, "owner-2": 2_000, "owner-3": 3_000}


def test_lost_worker_is_charged_until_its_last_heartbeat(
    database: SessionFactory, settings: Settings, clock: FakeClock
) -> None:
    lease = jobs.running(database, settings, owner="a")
    clock.advance(5_000)
    with transaction(database) as session:
        job_queue.renew_lease(session, lease)
    clock.advance(round(1000 * settings.lease_s) + 1)
    for _ in range(2):
        with transaction(database) as session:
            reaping.reap_expired(session, settings)
    assert use_ms(database) == {"a": 5_000}


def test_use_halves_with_its_half_life(database: SessionFactory, settings: Settings, clock: FakeClock) -> None:
    with transaction(database) as session:
        fair_share.charge(session, KIND, {"a": 8_000})
    clock.advance(2 * HALF_LIFE_MS)
    jobs.submitted(database, settings, owner="a")
    with transaction(database) as session:
        assert [share.use_ms for share in fair_share.read(session, fair_share.shares_where(), KIND)] == [2_000]
        fair_share.charge(session, KIND, {"a": 500})
    assert use_ms(database) == {"a": 2_500}


def test_owner_at_the_limit_of_running_jobs_has_no_turn(database: SessionFactory, settings: Settings) -> None:
    ids = {owner: [jobs.submitted(database, settings, owner=owner) for _ in range(3)] for owner in ("a", "b")}
    assert claimed_owners(database, 3, running_limit=1) == ["a", "b", None]

    with reading(database) as session:
        rows = [session.get_one(Job, job_id) for job_id in (*ids["a"], *ids["b"])]
        positions = queue_stats.queue_positions(session, rows, running_limit=1)
    assert [positions.get(row.id) for row in rows] == [None, 1, 3, None, 2, 4]

    lease = next(jobs.read_job(database, job_id) for job_id in ids["b"])
    with transaction(database) as session:
        job_queue.release(job_queue.renew_lease(session, job_queue.lease_of(lease)))
    assert claimed_owners(database, 2, running_limit=1) == ["b", None]


def test_simultaneous_claims_take_jobs_of_different_owners(
    database: SessionFactory, settings: Settings, engine: Engine
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("one transaction writes at a time")
    for owner in ("a", "a", "b"):
        jobs.submitted(database, settings, owner=owner)
    with transaction(database) as one, transaction(database) as two, transaction(database) as three:
        found = [job_queue.claim_next(session, KIND, "w") for session in (one, two, three)]
        assert [job and job.owner for job in found] == ["a", "b", "a"]


def test_position_of_a_job_before_its_submission_is_that_of_the_owner(
    database: SessionFactory, settings: Settings
) -> None:
    for _ in range(5):
        jobs.submitted(database, settings, owner="b")
    with transaction(database) as session:
        for owner, place in (("a", 1), ("b", 6), ("c", 2)):
            owned_rows.restrict(session, owner)
            assert queue_stats.next_position(session, KIND, Priority.NORMAL) == place


def test_first_in_the_queue_are_those_that_are_claimed_first(database: SessionFactory, settings: Settings) -> None:
    for owner in ("b", "b", "b", "a", "c", "a"):
        jobs.submitted(database, settings, owner=owner)
    with reading(database) as session:
        first = queue_stats.first_in_queue(session, KIND, 4)
    leases = [jobs.claimed(database) for _ in range(4)]
    assert [lease.job_id for lease in leases if lease] == first


@dataclass(frozen=True)
class Waiting:
    owner: str
    place: tuple[int, int]


OWNERS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(
        st.integers(0, 5).map(lambda n: n * 30_000) | st.integers(0, 400_000), st.integers(0, 3), st.integers(1, 6)
    ),
    min_size=1,
)  # use, held jobs, waiting jobs


@given(owners=OWNERS, limit=st.none() | st.integers(1, 4), most=st.integers(1, 12))
def test_order_of_turns_is_that_of_claims_tried_one_after_another(
    owners: dict[str, tuple[int, int, int]], limit: int | None, most: int
) -> None:
    shares = [Share(name=name, use_ms=use, held=held, is_due=True) for name, (use, held, _) in owners.items()]
    waiting = [Waiting(name, (1, number)) for name, (_, _, count) in owners.items() for number in range(count)]
    used = Counter({name: use for name, (use, _, _) in owners.items()})
    held = Counter({name: held for name, (_, held, _) in owners.items()})
    expected = fair_queue.claims(waiting, used, held, KIND, limit)
    line = Line(shares, KIND, limit)
    counts = {name: count for name, (_, _, count) in owners.items()}

    assert line.turns(counts, most) == [job.owner for job in expected[:most]]
    for job in waiting:
        rank = job.place[1]
        most_before = line.most_turns_before(job.owner, rank)
        capped = {name: min(count, most_before) for name, count in counts.items()}
        assert line.turns_before(job.owner, rank, capped) == expected.index(job)
    assert EXPECTED_MS == fair_queue.EXPECTED_MS
