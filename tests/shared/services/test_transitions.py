"""The user's actions on jobs."""

import pytest

from shared.db.session import SessionFactory, transaction
from shared.db.tables import GenerationJob, TrainingJob
from shared.errors import Conflict, NotFound
from shared.job_status import JobStatus
from shared.services import job_history, transitions
from shared.services import jobs as job_service
from shared.settings import Settings
from tests import jobs, transition_table


@pytest.mark.parametrize(("before", "after"), transition_table.documented()["cancel"].items())
def test_cancel_ends_a_queued_job_at_once_and_marks_a_running_one(
    database: SessionFactory, settings: Settings, before: JobStatus, after: JobStatus
) -> None:
    job_id = jobs.submitted(database, settings)
    jobs.set_values(database, job_id, status=before)

    with transaction(database) as session:
        job = job_service.change(session, TrainingJob, job_id, transitions.cancel)

    assert job.status is after
    assert (job.finished_at is not None) == (after is JobStatus.CANCELLED and before is not JobStatus.CANCELLED)
    with transaction(database) as session:
        types = [event.type for event in job_history.list_for_job(session, job_id)[0]]
    assert types == (["queued"] if before is after else ["queued", after.value])


@pytest.mark.parametrize("status", [JobStatus.SUCCEEDED, JobStatus.FAILED])
def test_cancel_of_a_finished_job_is_a_conflict(
    database: SessionFactory, settings: Settings, status: JobStatus
) -> None:
    job_id = jobs.submitted(database, settings)
    jobs.set_values(database, job_id, status=status)

    with pytest.raises(Conflict, match=status.value), transaction(database) as session:
        job_service.change(session, TrainingJob, job_id, transitions.cancel)
    assert jobs.status_of(database, job_id) is status


@pytest.mark.parametrize("job_id", ["trn_" + "0" * 26, "gen_" + "0" * 26, "nonsense", "", "trn_\x00", "x" * 500])
def test_unknown_id_is_not_found(database: SessionFactory, job_id: str) -> None:
    with transaction(database) as session:
        with pytest.raises(NotFound):
            job_service.change(session, TrainingJob, job_id, transitions.cancel)
        with pytest.raises(NotFound):
            job_service.change(session, GenerationJob, job_id, transitions.cancel)


def test_cancelled_job_is_not_claimed(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings)
    with transaction(database) as session:
        job_service.change(session, TrainingJob, job_id, transitions.cancel)
    assert jobs.claimed(database) is None
