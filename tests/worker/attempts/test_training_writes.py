"""Warnings and event files of a job after one attempt, and after two."""

import pytest

from shared.db.session import SessionFactory, reading, transaction
from shared.job_status import JobStatus
from shared.services import artifacts, models, training_jobs
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.worker.attempts.harness import attempt, history
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat


@pytest.fixture
def job_id(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> str:
    """A job whose first attempt crashed after a warning that is later than its checkpoint."""
    submitted = jobs.submitted(database, settings, max_attempts=2)
    attempt(context, worker_heartbeat, "alarm_and_crash_once")
    with transaction(database) as session:
        training_jobs.get(session, submitted).not_before = None
    attempt(context, worker_heartbeat, "alarm_and_crash_once")
    with reading(database) as session:
        assert training_jobs.get(session, submitted).status is JobStatus.SUCCEEDED
    return submitted


def test_warning_repeated_by_the_next_attempt_is_in_the_history_once(job_id: str, database: SessionFactory) -> None:
    (alarm,) = (event for event in history(database, job_id) if event.type == "mode_collapse")
    assert (alarm.attempt, alarm.message) == (1, "It has collapsed. Lower the rate.")
    assert alarm.data == {"n": 1, "step": 5, "hint": "Lower the rate."}


def test_warning_is_part_of_the_job_and_of_its_model_once(job_id: str, database: SessionFactory) -> None:
    warning = {"code": "mode_collapse", "message": "It has collapsed.", "hint": "Lower the rate.", "step": 5}
    with reading(database) as session:
        job = training_jobs.get(session, job_id)
        assert job.warnings == [warning]
        assert job.model is not None
        shown = models.get(session, job.model.id).job
        assert shown is not None
        assert shown.warnings == [warning]


def test_event_files_of_all_attempts_are_kept_with_names_in_their_order(
    job_id: str, database: SessionFactory, storage: Storage
) -> None:
    with reading(database) as session:
        files, _ = artifacts.list_for_job(session, job_id, kind="tensorboard")
    files.sort(key=lambda file: file.name)
    assert [file.name for file in files] == [
        "events.out.tfevents.000001-00000001",
        "events.out.tfevents.000002-00000001",
    ]
    assert [storage.read_bytes(file.storage_key) for file in files] == [b"steps 1 to 3", b"steps 4 to 6"]
    assert [file.step for file in files] == [3, 6]
