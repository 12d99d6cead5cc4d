"""Attempts that continue from the stored results of an earlier attempt."""

import pytest
from sqlalchemy import delete, select

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Artifact, Checkpoint, Model
from shared.job_status import JobStatus
from shared.services import checkpoints
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.waiting import wait_until
from tests.worker.attempts.harness import Background, attempt, has_checkpoint, history
from worker.context import WorkerContext
from worker.sweeper import Sweeper
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = pytest.mark.slow_on_postgresql


def test_next_attempt_continues_from_the_last_checkpoint(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "crash_once")
    jobs.set_values(database, job_id, not_before=None)
    attempt(context, worker_heartbeat, "crash_once")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    assert [event.data["step"] for event in history(database, job_id) if event.type == "started"] == [0, 3]


@pytest.mark.parametrize("damage", ["flipped", "truncated", "manifest", "gone"])
def test_damaged_checkpoint_is_replaced_by_the_previous_one_with_an_event(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
    damage: str,
) -> None:
    # Given: a released job with checkpoints at steps 1 and 2, the newest of them damaged
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))
    context.stopping.set()
    running.join()
    context.stopping.clear()
    with reading(database) as session:
        newest = checkpoints.list_for_job(session, job_id)[0]
    assert newest.step == 2
    harm(storage, newest.storage_key, damage)

    attempt(context, worker_heartbeat, "train")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    damaged = [event for event in history(database, job_id) if event.type == "checkpoint_damaged"]
    assert [event.data["step"] for event in damaged] == [2]
    assert [event.data["step"] for event in history(database, job_id) if event.type == "started"] == [0, 1]


def harm(storage: Storage, key: str, damage: str) -> None:
    file = storage.local_path(f"{key}/{'manifest.json' if damage == 'manifest' else 'model.safetensors'}")
    assert file is not None
    data = file.read_bytes()
    if damage == "gone":
        storage.delete_tree(key)
    elif damage == "truncated":
        file.write_bytes(data[:-1])
    elif damage == "manifest":
        file.write_bytes(data[: len(data) // 2])
    else:
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])


def test_resumed_run_leaves_no_file_without_a_row(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
) -> None:
    # Given: an attempt that loses its lease after writing checkpoint and sample, and one that writes them again
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "sample_and_crash")
    with transaction(database) as session:
        session.execute(delete(Checkpoint))  # so that the next attempt starts from step 0
    storage.delete_tree(f"jobs/{job_id}/checkpoints")
    jobs.set_values(database, job_id, not_before=None)
    attempt(context, worker_heartbeat, "train")

    Sweeper(settings, database, storage).round()
    with reading(database) as session:
        named = set(session.scalars(select(Artifact.storage_key)))
        folders = set(session.scalars(select(Checkpoint.storage_key)))
    stored = [f"jobs/{job_id}/{name}" for name in storage.list_names(f"jobs/{job_id}")]
    assert {key for key in stored if "/samples/" in key} == named
    assert {key.rsplit("/", 1)[0] for key in stored if "/checkpoints/" in key} == folders


def test_job_can_start_from_the_weights_of_another_job(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    first = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "train")
    with reading(database) as session:
        model = session.scalars(select(Model).where(Model.job_id == first)).one()

    second = jobs.submitted(database, settings, init_from=model.id)
    attempt(context, worker_heartbeat, "train")

    assert jobs.status_of(database, second) is JobStatus.SUCCEEDED
