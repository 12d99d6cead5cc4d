"""The snapshot that the reconciler takes in each round, on both databases."""

from datetime import UTC, datetime, timedelta

from shared.db.session import SessionFactory, read_connection
from shared.services import queue_snapshot
from shared.services.queue_snapshot import QueueSnapshot
from shared.settings import Settings
from tests import jobs


def snapshot(database: SessionFactory, settings: Settings) -> QueueSnapshot:
    with read_connection(database) as connection:
        return queue_snapshot.take_snapshot(connection, settings)


def test_empty_queue_needs_no_action(database: SessionFactory, settings: Settings) -> None:
    seen = snapshot(database, settings)

    assert abs(seen.now - datetime.now(UTC)) < timedelta(seconds=5)
    assert not seen.has_expired
    assert seen.due == {"training": 0, "generation": 0}


def test_claimable_jobs_are_counted(database: SessionFactory, settings: Settings) -> None:
    jobs.running(database, settings)
    later, _, _ = (jobs.submitted(database, settings) for _ in range(3))
    jobs.set_values(database, later, not_before=datetime.now(UTC) + timedelta(minutes=1))

    seen = snapshot(database, settings)

    assert seen.due == {"training": 2, "generation": 0}
    assert not seen.has_expired


def test_expired_lease_is_reported(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, heartbeat_at=datetime.now(UTC) - timedelta(seconds=settings.lease_s + 1))

    assert snapshot(database, settings).has_expired
