"""Deletion of jobs: atomic, and never while another job reads the weights."""

import threading
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import func, inspect, select

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Base, Checkpoint, IdempotencyKey, Job, JobEvent, Model, PendingDeletion
from shared.errors import Conflict, NotFound, SpecError
from shared.ids import new_id
from shared.job_status import JobStatus
from shared.services import attempt_writes, deletion, exports, job_queue, training_jobs, transitions
from shared.services.attempt_writes import MetricPoint, StoredCheckpoint, StoredFile
from shared.settings import Settings
from tests import jobs


def published(database: SessionFactory, settings: Settings) -> tuple[str, str]:
    """A succeeded job with a row in every table that jobs write to; its id and its model's."""
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, webhook={"url": "https://example.org/", "events": ["succeeded"]})
    key = f"jobs/{lease.job_id}"
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        attempt_writes.add_metrics(fenced, [MetricPoint(name="loss", epoch=1, step=1, value=1.0)])
        file = StoredFile(
            kind="sample", name="a", media_type="text/plain", storage_key=f"{key}/a", sha256="0" * 64, size=1
        )
        attempt_writes.add_artifacts(fenced, [file])
        stored = StoredCheckpoint(
            epoch=1, step=1, storage_key=f"{key}/c", sha256="0" * 64, size=1, is_best=True, metrics={}
        )
        attempt_writes.add_checkpoint(fenced, stored)
        session.add(IdempotencyKey(key=lease.job_id, body_sha256="0" * 64, job_id=lease.job_id))
        job = training_jobs.get(session, lease.job_id)
        checkpoint = session.scalars(select(Checkpoint).where(Checkpoint.job_id == job.id)).one()
        model = Model(
            id=new_id("mdl"),
            job_id=job.id,
            checkpoint_id=checkpoint.id,
            model_type=job.model_type,
            dataset=job.spec["dataset"],
            hyperparameters=job.spec["hyperparameters"],
        )
        attempt_writes.add_model(fenced, model)
        job_queue.finish_succeeded(fenced)
        export, _ = exports.submit(session, model.id, "onnx")
        export.status = JobStatus.SUCCEEDED
    return lease.job_id, model.id


def rows_by_table(database: SessionFactory) -> dict[str, int]:
    with reading(database) as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Base.metadata.sorted_tables
            if "job_id" in table.columns or table.name == "jobs"
        }


def delete(database: SessionFactory, job_id: str) -> None:
    with transaction(database) as session:
        deletion.delete_job(session, job_id)


def test_delete_removes_the_rows_of_the_job_from_all_tables_and_no_others(
    database: SessionFactory, settings: Settings
) -> None:
    kept, _ = published(database, settings)
    before = rows_by_table(database)
    gone, model = published(database, settings)
    with reading(database) as session:
        export = exports.job_of(session, model, "onnx")
    assert export is not None

    delete(database, gone)

    assert rows_by_table(database) == before
    assert all(count for name, count in before.items() if name != "workers"), "a table that this test leaves out"
    with reading(database) as session:
        assert session.get(Job, kept) is not None
        assert set(session.scalars(select(PendingDeletion.storage_key))) == {f"jobs/{gone}", f"jobs/{export.id}"}


def test_foreign_keys_to_jobs_cascade_deletes(database: SessionFactory) -> None:
    with reading(database) as session:
        inspector = inspect(session.connection())
        for table in inspector.get_table_names():
            for foreign_key in inspector.get_foreign_keys(table):
                if foreign_key["referred_table"] == "jobs":
                    assert foreign_key["options"].get("ondelete") == "CASCADE", table


def test_rolled_back_delete_changes_nothing(database: SessionFactory, settings: Settings) -> None:
    job_id, _ = published(database, settings)
    before = rows_by_table(database)

    with transaction(database) as session:
        deletion.delete_job(session, job_id)
        session.rollback()

    assert rows_by_table(database) == before
    with reading(database) as session:
        assert session.scalars(select(PendingDeletion)).all() == []


def test_concurrent_deletes_of_a_job_delete_it_once(database: SessionFactory, settings: Settings) -> None:
    job_id, _ = published(database, settings)
    outcomes: list[str] = []

    def delete_once() -> None:
        try:
            delete(database, job_id)
            outcomes.append("deleted")
        except NotFound:
            outcomes.append("not found")

    at_once(*[delete_once] * 4)
    assert sorted(outcomes) == ["deleted", "not found", "not found", "not found"]


def test_generation_submitted_during_a_delete_is_refused_or_keeps_its_weights(
    database: SessionFactory, settings: Settings
) -> None:
    for _ in range(8):
        job_id, model_id = published(database, settings)
        accepted: list[str] = []

        def generate(model_id: str = model_id, accepted: list[str] = accepted) -> None:
            with suppress(SpecError):
                accepted.append(jobs.generated(database, settings, model=model_id))

        def remove(job_id: str = job_id) -> None:
            with suppress(Conflict):
                delete(database, job_id)

        at_once(generate, remove)

        with reading(database) as session:
            is_there = session.get(Model, model_id) is not None
            waiting = [session.get_one(Job, job) for job in accepted]
            assert is_there == bool(waiting)
            for job in waiting:
                assert session.get(Checkpoint, job.spec["checkpoint_id"]) is not None
                assert job.status is JobStatus.QUEUED


def test_job_retried_during_a_delete_is_kept_or_deleted_completely(
    database: SessionFactory, settings: Settings
) -> None:
    for _ in range(5):
        job_id = jobs.submitted(database, settings)
        jobs.cancel(database, job_id)

        def retry(job_id: str = job_id) -> None:
            with suppress(NotFound), transaction(database) as session:
                transitions.retry(session, job_id)

        def remove(job_id: str = job_id) -> None:
            with suppress(Conflict):
                delete(database, job_id)

        at_once(retry, remove)

        with reading(database) as session:
            job = session.get(Job, job_id)
            history = session.scalars(select(JobEvent.type).where(JobEvent.job_id == job_id)).all()
        assert (job is not None) == ("retried" in history)
        assert job is None or job.status is JobStatus.QUEUED


def at_once(*functions: Callable[[], None]) -> None:
    barrier = threading.Barrier(len(functions))
    failures: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        barrier.wait()
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
