"""Detection of training workers on the same host."""

from typing import Any

import pytest
from sqlalchemy import update

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Worker
from shared.job_status import JobKind
from shared.services import workers
from shared.settings import Settings

KNOWN: dict[str, Any] = {"pid": 1, "device": "cpu", "job_id": None, "jobs_done": 0, "examples_per_s": None}


def has_neighbour(database: SessionFactory, settings: Settings) -> bool:
    with reading(database) as session:
        return workers.has_neighbour(session, settings, worker_id="wrk_me", kind=JobKind.TRAINING, host="here")


@pytest.mark.parametrize(
    ("worker_id", "kind", "host", "expected"),
    [
        ("wrk_me", "training", "here", False),
        ("wrk_other", "training", "here", True),
        ("wrk_other", "generation", "here", False),
        ("wrk_other", "training", "there", False),
    ],
)
def test_neighbour_is_another_training_worker_on_the_same_host(
    database: SessionFactory, settings: Settings, worker_id: str, kind: str, host: str, expected: bool
) -> None:
    with transaction(database) as session:
        workers.record_heartbeat(session, worker_id=worker_id, kind=JobKind(kind), host=host, **KNOWN)

    assert has_neighbour(database, settings) is expected


def test_worker_that_is_silent_for_three_leases_is_no_neighbour(database: SessionFactory, settings: Settings) -> None:
    with transaction(database) as session:
        workers.record_heartbeat(session, worker_id="wrk_other", kind=JobKind.TRAINING, host="here", **KNOWN)
        ago = round(3001 * settings.lease_s)
        session.execute(update(Worker).values(heartbeat_at=Worker.heartbeat_at - ago))

    assert not has_neighbour(database, settings)
