"""Leases of devices: spread, slots, takeover from dead workers, and races."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import DeviceLease, Worker
from shared.job_status import JobKind
from shared.services import device_leases, workers
from shared.settings import Settings
from tests import jobs

THREE = ["GPU-a", "GPU-b", "GPU-c"]
KNOWN: dict[str, Any] = {
    "kind": JobKind.TRAINING, "host": "here", "pid": 1, "device": "cuda", "job_id": None, "jobs_done": 0,
    "examples_per_s": None,
}  # fmt: skip


def take(
    database: SessionFactory, settings: Settings, worker: str, device_ids: list[str] = THREE, slots: int | None = None
) -> str | None:
    with transaction(database) as session:
        return device_leases.take(session, worker, device_ids, slots=slots, settings=settings)


def holds(database: SessionFactory, worker: str, device_id: str) -> bool:
    with transaction(database) as session:
        return device_leases.verify(session, worker, device_id)


def heartbeat(database: SessionFactory, worker: str) -> None:
    with transaction(database) as session:
        workers.record_heartbeat(session, worker_id=worker, **KNOWN)


def age(database: SessionFactory, settings: Settings, *tables: type[DeviceLease | Worker]) -> None:
    """Make all leases, or all heartbeats, a little older than three leases of a job."""
    old = timedelta(seconds=3.1 * settings.lease_s) // timedelta(milliseconds=1)
    with transaction(database) as session:
        for table in tables:
            name = "created_at" if table is DeviceLease else "heartbeat_at"
            session.execute(update(table).values({name: getattr(table, name) - old}))


def slots_taken(database: SessionFactory) -> list[tuple[str, int]]:
    with reading(database) as session:
        rows = session.execute(select(DeviceLease.device_id, DeviceLease.slot))
        return sorted((device_id, slot) for device_id, slot in rows)


def test_workers_spread_over_the_devices_in_their_order(database: SessionFactory, settings: Settings) -> None:
    taken = [take(database, settings, f"wrk_{number}") for number in range(7)]
    assert taken == ["GPU-a", "GPU-b", "GPU-c", "GPU-a", "GPU-b", "GPU-c", "GPU-a"]


def test_worker_takes_only_devices_that_it_sees(database: SessionFactory, settings: Settings) -> None:
    assert [take(database, settings, f"wrk_{number}", ["GPU-b"]) for number in range(2)] == ["GPU-b", "GPU-b"]
    assert take(database, settings, "wrk_2", ["GPU-b", "GPU-c"]) == "GPU-c"


def test_no_device_has_more_holders_than_slots(database: SessionFactory, settings: Settings) -> None:
    taken = [take(database, settings, f"wrk_{number}", ["GPU-a", "GPU-b"], slots=2) for number in range(5)]
    assert taken == ["GPU-a", "GPU-b", "GPU-a", "GPU-b", None]


def test_worker_keeps_the_device_that_it_holds(database: SessionFactory, settings: Settings) -> None:
    take(database, settings, "wrk_other")
    assert [take(database, settings, "wrk_me", slots=1) for _ in range(3)] == ["GPU-b"] * 3
    assert slots_taken(database) == [("GPU-a", 0), ("GPU-b", 0)]


def test_simultaneous_workers_share_the_devices_evenly(database: SessionFactory, settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda number: take(database, settings, f"wrk_{number}", slots=2), range(8)))

    assert Counter(taken) == {"GPU-a": 2, "GPU-b": 2, "GPU-c": 2, None: 2}
    assert slots_taken(database) == [(device_id, slot) for device_id in THREE for slot in range(2)]


def test_released_slot_is_taken_again(database: SessionFactory, settings: Settings) -> None:
    for worker in ("wrk_1", "wrk_2"):
        take(database, settings, worker, ["GPU-a"])
    with transaction(database) as session:
        device_leases.release(session, "wrk_1")

    assert take(database, settings, "wrk_3", ["GPU-a"]) == "GPU-a"
    assert slots_taken(database) == [("GPU-a", 0), ("GPU-a", 1)]


@pytest.mark.parametrize(
    ("has_heartbeat", "aged", "is_free"),
    [
        (True, [], False),
        (True, [DeviceLease], False),  # a worker that has run for long
        (True, [Worker], False),  # one that starts after an earlier heartbeat
        (True, [DeviceLease, Worker], True),
        (False, [], False),  # one that starts, before its first heartbeat
        (False, [DeviceLease], True),
    ],
)
def test_slot_is_free_when_neither_lease_nor_heartbeat_is_recent(
    database: SessionFactory, settings: Settings, has_heartbeat: bool, aged: list[type[Any]], is_free: bool
) -> None:
    take(database, settings, "wrk_silent", ["GPU-a"], slots=1)
    if has_heartbeat:
        heartbeat(database, "wrk_silent")
    age(database, settings, *aged)

    assert take(database, settings, "wrk_new", ["GPU-a"], slots=1) == ("GPU-a" if is_free else None)
    assert holds(database, "wrk_silent", "GPU-a") is not is_free


def test_worker_that_lost_its_slot_takes_another_one(database: SessionFactory, settings: Settings) -> None:
    take(database, settings, "wrk_stopped", ["GPU-a", "GPU-b"], slots=1)
    age(database, settings, DeviceLease)
    take(database, settings, "wrk_new", ["GPU-a", "GPU-b"], slots=1)
    assert not holds(database, "wrk_stopped", "GPU-a")

    assert take(database, settings, "wrk_stopped", ["GPU-a", "GPU-b"], slots=1) == "GPU-b"
    assert holds(database, "wrk_stopped", "GPU-b")


def test_leases_of_workers_that_are_silent_for_a_day_are_deleted(database: SessionFactory, settings: Settings) -> None:
    for worker in ("wrk_silent", "wrk_alive", "wrk_gone"):
        take(database, settings, worker)
    heartbeat(database, "wrk_silent")
    day = timedelta(hours=25) // timedelta(milliseconds=1)
    with transaction(database) as session:
        session.execute(update(DeviceLease).values(created_at=DeviceLease.created_at - day))
        session.execute(update(Worker).values(heartbeat_at=Worker.heartbeat_at - day))
    heartbeat(database, "wrk_alive")
    take(database, settings, "wrk_starts", ["GPU-d"])

    with transaction(database) as session:
        workers.forget_silent(session)

    assert slots_taken(database) == [("GPU-b", 0), ("GPU-d", 0)]


def test_load_counts_the_held_jobs_of_the_holders(database: SessionFactory, settings: Settings) -> None:
    # Given: two jobs on one device, one on another, and one that has ended
    for number, device_id in enumerate(["GPU-a", "GPU-a", "GPU-b", "GPU-a"]):
        take(database, settings, f"wrk_{number}", [device_id])
    ids = [jobs.submitted(database, settings) for _ in range(4)]
    for number in range(4):
        assert jobs.claimed(database, worker=f"wrk_{number}") is not None
    for number, job_id in enumerate(ids):
        jobs.set_values(database, job_id, memory_bytes=10**number)
    jobs.set_values(database, ids[3], status="succeeded")

    with reading(database) as session:
        load = device_leases.load_beside(session, "GPU-a", ids[0])
        of_all = device_leases.load_beside(session, "GPU-a", "trn_none")
        of_none = device_leases.load_beside(session, "GPU-c", "trn_none")

    assert (load.jobs, load.memory_bytes) == (1, 10)
    assert (of_all.jobs, of_all.memory_bytes) == (2, 11)
    assert 0 <= load.newest_ms < 600_000
    assert (of_none.jobs, of_none.memory_bytes) == (0, 0)
