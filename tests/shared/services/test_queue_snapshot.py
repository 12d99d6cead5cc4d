"""What the reconciler sees in one look, on both databases."""

from datetime import UTC, datetime, timedelta

from shared.db.session import SessionFactory, read_connection
from shared.services import queue_snapshot
from shared.services.queue_snapshot import QueueSnapshot
from shared.settings import Settings
from tests import jobs


def look(database: SessionFactory, settings: Settings) -> QueueSnapshot:
    with read_connection(database) as connection:
        return queue_snapshot.take_snapshot(connection, settings)


def test_an_empty_queue_has_nothing_to_do(database: SessionFactory, settings: Settings) -> None:
    seen = look(database, settings)

    assert abs(seen.now - datetime.now(UTC)) < timedelta(seconds=5)
    assert not seen.has_expired
    assert seen.due == {"training": 0, "generation": 0}


def test_jobs_that_a_worker_could_take_are_counted(database: SessionFactory, settings: Settings) -> None:
    jobs.running(database, settings)
    later, _, _ = (jobs.submitted(database, settings) for _ in range(3))
    jobs.set_values(database, later, not_before=datetime.now(UTC) + timedelta(minutes=1))

    seen = look(database, settings)

    assert seen.due == {"training": 2, "generation": 0}
    assert not seen.has_expired


def test_a_job_of_a_silent_worker_is_seen(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, heartbeat_at=datetime.now(UTC) - timedelta(seconds=settings.lease_s + 1))

    assert look(database, settings).has_expired
