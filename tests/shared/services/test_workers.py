"""The count of training workers that share cores."""

from typing import Any

import pytest
from sqlalchemy import update

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Worker
from shared.job_status import JobKind
from shared.services import workers
from shared.settings import Settings

KNOWN: dict[str, Any] = {
    "worker_id": "wrk_other", "kind": JobKind.TRAINING, "host": "here", "pid": 1, "device": "cpu", "job_id": None,
    "jobs_done": 0, "examples_per_s": None, "machine": "here", "device_id": "cpu:here",
}  # fmt: skip


def count(database: SessionFactory, settings: Settings) -> int:
    with reading(database) as session:
        return workers.count_neighbours(session, settings, worker_id="wrk_me", machine="here")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, 1),
        ({"worker_id": "wrk_me"}, 0),
        ({"kind": JobKind.GENERATION}, 0),
        ({"machine": "there"}, 0),
        ({"machine": None}, 0),
        ({"device_id": None}, 0),
    ],
)
def test_training_workers_of_a_machine_count_where_they_hold_a_device(
    database: SessionFactory, settings: Settings, values: dict[str, Any], expected: int
) -> None:
    with transaction(database) as session:
        workers.record_heartbeat(session, **(KNOWN | values))

    assert count(database, settings) == expected


def test_worker_that_is_silent_for_three_leases_does_not_count(database: SessionFactory, settings: Settings) -> None:
    with transaction(database) as session:
        workers.record_heartbeat(session, **KNOWN)
        ago = round(3001 * settings.lease_s)
        session.execute(update(Worker).values(heartbeat_at=Worker.heartbeat_at - ago))

    assert count(database, settings) == 0
