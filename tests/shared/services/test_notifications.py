"""Jobs that need a notification."""

from datetime import UTC, datetime, timedelta

from shared.db.session import SessionFactory, transaction
from shared.job_status import JobKind, Priority
from shared.services import notifications
from shared.settings import Settings
from tests import jobs


def due(database: SessionFactory, stale_s: float = 15, limit: int = 10) -> list[tuple[str, Priority]]:
    with transaction(database) as session:
        return notifications.due_for_notification(session, JobKind.TRAINING, stale_s=stale_s, limit=limit)


def age_notification(database: SessionFactory, job_id: str, age_s: float | None) -> None:
    at = None if age_s is None else datetime.now(UTC) - timedelta(seconds=age_s)
    jobs.set_values(database, job_id, notified_at=at)


def test_new_job_needs_no_notification(database: SessionFactory, settings: Settings) -> None:
    jobs.submitted(database, settings)
    assert due(database) == []


def test_jobs_with_stale_or_missing_notifications_are_returned_in_queue_order(
    database: SessionFactory, settings: Settings
) -> None:
    stale = jobs.submitted(database, settings)
    missing = jobs.submitted(database, settings, priority="high")
    jobs.submitted(database, settings)
    age_notification(database, stale, 60)
    age_notification(database, missing, None)

    assert due(database) == [(missing, Priority.HIGH), (stale, Priority.NORMAL)]
    assert due(database, limit=1) == [(missing, Priority.HIGH)]


def test_running_jobs_and_jobs_in_back_off_need_no_notification(database: SessionFactory, settings: Settings) -> None:
    held = jobs.running(database, settings)
    age_notification(database, held.job_id, None)
    waiting = jobs.submitted(database, settings)
    jobs.set_values(database, waiting, notified_at=None, not_before=datetime.now(UTC) + timedelta(minutes=1))

    assert due(database) == []
    with transaction(database) as session:
        assert notifications.count_due(session)[JobKind.TRAINING] == 0


def test_marked_job_needs_no_notification_and_keeps_its_version(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)
    age_notification(database, job_id, None)
    version = jobs.read_job(database, job_id).version

    with transaction(database) as session:
        notifications.mark_notified(session, [job_id])

    assert due(database) == []
    assert jobs.read_job(database, job_id).version == version
