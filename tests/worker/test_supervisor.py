"""One attempt at a training job, from its claim to its end, with a real child process that speaks the protocol."""

import contextlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from shared.broker import NullBroker
from shared.db.models import Checkpoint, Model
from shared.db.session import SessionFactory, reading, transaction
from shared.errors import Conflict
from shared.job_status import JobStatus
from shared.services import artifacts, checkpoints, datasets, job_queue, metrics, training_jobs
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.worker.attempts import Background, attempt, event_types, history, wait_until
from worker.beat import Beat
from worker.context import WorkerContext
from worker.supervision.manifest import verified


def run_folders(settings: Settings) -> list[Path]:
    return list(settings.runs_path.glob("*"))


def has_checkpoint(database: SessionFactory, job_id: str) -> bool:
    with reading(database) as session:
        return bool(checkpoints.list_for_job(session, job_id))


# --- success ----------------------------------------------------------------------------------------------------


def test_a_finished_run_publishes_its_model_with_everything_it_reported(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    job_id = jobs.submitted(database, settings, name="mine")

    attempt(context, beat, "train")

    with reading(database) as session:
        job = training_jobs.get(session, job_id)
        curves = metrics.series(session, job_id)
        rows = checkpoints.list_for_job(session, job_id)
        samples, _ = artifacts.list_for_job(session, job_id, kind="sample")
    assert (job.status, job.error, job.attempt) == (JobStatus.SUCCEEDED, None, 1)
    assert (job.device, job.metrics["loss"], job.worker) == ("cpu", 4.0, None)
    assert (job.progress["step"], job.progress["steps"], job.progress["fraction"]) == (6, 6, 1.0)
    assert [point.value for point in curves["loss"]] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]
    assert [row.step for row in rows] == [6, 5, 4]  # the newest two and the best
    assert job.model is not None
    assert (job.model.checkpoint.step, job.model.quality) == (4, {"val_loss": 1.5})
    assert (job.model.name, job.model.dataset, job.model.versions) == ("mine", "digits", {"fake": "1"})
    assert [sample.name for sample in samples] == ["epoch-0001-t0.5.txt"]
    assert samples[0].details == {"temperature": 0.5}
    assert job_id in broker.done
    assert event_types(database, job_id) == ["queued", "running", "started", "collapse", "succeeded"]
    assert run_folders(settings) == []


def test_every_row_names_files_that_are_there_and_verify(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings, storage: Storage, tmp_path: Path
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, beat, "train")

    with reading(database) as session:
        rows = checkpoints.list_for_job(session, job_id)
    for row in rows:
        storage.get_tree(row.storage_key, tmp_path / str(row.step))
        assert verified(tmp_path / str(row.step)).files["model.safetensors"].sha256 == row.sha256
    kept = {name.split("/")[0] for name in storage.list_names(f"jobs/{job_id}/checkpoints")}
    assert kept == {row.storage_key.rsplit("/", 1)[-1] for row in rows}  # the pruned ones' files are gone


def test_the_trainer_has_no_credentials(
    context: WorkerContext,
    beat: Beat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MIMEO_DATABASE_URL", "MIMEO_REDIS_URL", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "ANY_TOKEN"):
        monkeypatch.setenv(name, "secret")
    job_id = jobs.submitted(database, settings)
    attempt(context, beat, "train")

    with reading(database) as session:
        [sample], _ = artifacts.list_for_job(session, job_id, kind="sample")
    environment = json.loads(storage.read_bytes(sample.storage_key))
    assert "secret" not in environment.values()
    assert {name for name in environment if name.startswith("MIMEO_")} == {"MIMEO_HOME", "MIMEO_OFFLINE"}


def test_noise_on_the_pipes_does_not_disturb(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, beat, "noise")
    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED


def test_a_checkpoint_that_does_not_verify_is_not_taken_in(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, beat, "damaged")
    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED


# --- failure ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("crash", "internal", "ended with status 1"),
        ("lies", "internal", "without a result"),
        ("killed", "worker_lost", "SIGKILL"),
        ("escape", "internal", "outside its folder"),
    ],
)
def test_a_trainer_that_dies_is_tried_again_until_attempts_run_out(
    context: WorkerContext,
    beat: Beat,
    database: SessionFactory,
    settings: Settings,
    broker: NullBroker,
    behaviour: str,
    code: str,
    words: str,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=2)

    attempt(context, beat, behaviour)
    job = jobs.look(database, job_id)
    assert (job.status, job.attempt, job_id in broker.done) == (JobStatus.QUEUED, 1, False)

    jobs.set_values(database, job_id, not_before=None)
    attempt(context, beat, behaviour)
    job = jobs.look(database, job_id)
    assert (job.status, job.attempt, job_id in broker.done) == (JobStatus.FAILED, 2, True)
    assert job.error is not None
    assert job.error["code"] == code
    assert words in job.error["message"]
    assert run_folders(settings) == []


def test_divergence_fails_the_job_at_once_with_its_hint(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, beat, "diverged")

    job = jobs.look(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error == {"code": "diverged", "message": "loss became nan at step 3.", "hint": "Lower the rate."}


def test_a_job_over_its_time_fails_with_timeout(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, timeout_s=1)
    attempt(context, beat, "work")

    job = jobs.look(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "timeout"


def test_a_trainer_that_falls_silent_is_killed_and_tried_again(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    impatient = settings.model_copy(update={"stall_timeout_s": 0.5})
    hurried = replace(context, settings=impatient)
    started = time.monotonic()
    attempt(hurried, beat, "hang")

    assert time.monotonic() - started < 10
    assert jobs.status_of(database, job_id) is JobStatus.QUEUED
    assert "reported nothing" in history(database, job_id)[-1].message


def test_a_dataset_that_is_gone_from_storage_fails_the_job(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    stored = datasets.store_text(storage, name="gone", data=b"To be or not to be. " * 50, settings=settings)
    with transaction(database) as session:
        datasets.add_upload(session, stored)
    job_id = jobs.submitted(database, settings, model_type="lstm", dataset="gone")
    storage.delete_file(stored.storage_key)

    attempt(context, beat, "train")

    job = jobs.look(database, job_id)
    assert (job.status, job.error and job.error["code"]) == (JobStatus.FAILED, "dataset_unavailable")


# --- resuming ---------------------------------------------------------------------------------------------------


def test_the_next_attempt_goes_on_from_the_last_checkpoint(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, beat, "crash_once")
    jobs.set_values(database, job_id, not_before=None)
    attempt(context, beat, "crash_once")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    assert [event.data["step"] for event in history(database, job_id) if event.type == "started"] == [0, 3]


@pytest.mark.parametrize("damage", ["flipped", "truncated", "manifest", "gone"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_with_an_event(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings, storage: Storage, damage: str
) -> None:
    # Given: a released job with checkpoints at steps 1 and 2, the newest of them damaged
    job_id = jobs.submitted(database, settings)
    running = Background(context, beat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))
    context.stopping.set()
    running.join()
    context.stopping.clear()
    with reading(database) as session:
        newest = checkpoints.list_for_job(session, job_id)[0]
    assert newest.step == 2
    harm(storage, newest.storage_key, damage)

    attempt(context, beat, "train")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    told = [event for event in history(database, job_id) if event.type == "checkpoint_damaged"]
    assert [event.data["step"] for event in told] == [2]
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


def test_a_job_can_start_from_another_s_weights(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    first = jobs.submitted(database, settings)
    attempt(context, beat, "train")
    with reading(database) as session:
        model = session.scalars(select(Model).where(Model.job_id == first)).one()

    second = jobs.submitted(database, settings, init_from=model.id)
    attempt(context, beat, "train")

    assert jobs.status_of(database, second) is JobStatus.SUCCEEDED


# --- obeying ----------------------------------------------------------------------------------------------------


def test_a_cancel_kills_the_trainer_at_once_and_everything_it_started(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, beat, "family")
    wait_until((settings.runs_path / "grandchild").exists)
    wait_until(lambda: has_checkpoint(database, job_id))

    started = time.monotonic()
    jobs.cancel(database, job_id)
    running.join()

    assert time.monotonic() - started < 3
    assert jobs.status_of(database, job_id) is JobStatus.CANCELLED
    assert job_id in broker.done
    grandchild = int((settings.runs_path / "grandchild").read_text())
    wait_until(lambda: not is_alive(grandchild))


def is_alive(pid: int) -> bool:
    """Whether a process runs: a zombie that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_pause_ends_with_a_checkpoint_and_the_attempt_does_not_count(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, beat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))

    jobs.set_values(database, job_id, status=JobStatus.PAUSING)
    running.join()

    job = jobs.look(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.PAUSED, 0)
    with reading(database) as session:
        assert [row.step for row in checkpoints.list_for_job(session, job_id)] == [2, 1]


def test_a_stopping_worker_gives_its_job_back_with_a_checkpoint(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)
    running = Background(context, beat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))

    context.stopping.set()
    running.join()

    job = jobs.look(database, job_id)
    assert (job.status, job.attempt, job.hinted_at) == (JobStatus.QUEUED, 0, None)
    assert event_types(database, job_id)[-1] == "released"


def test_a_trainer_that_does_not_stop_in_time_is_killed_and_its_job_given_back(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    impatient = replace(context, settings=settings.model_copy(update={"stop_grace_s": 0.3}))
    running = Background(impatient, beat, "ignore_stop")
    wait_until(lambda: has_checkpoint(database, job_id))

    impatient.stopping.set()
    running.join()

    job = jobs.look(database, job_id)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)


def test_a_worker_that_lost_its_lease_kills_its_trainer_and_writes_no_more(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings, broker: NullBroker
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, beat, "work")
    wait_until(lambda: has_checkpoint(database, job_id))

    # When: the job is reaped and another worker has it
    with transaction(database) as session:
        job = training_jobs.get(session, job_id)
        job.lease_token += 1
        job.worker = "wrk_other"
    running.join()

    job = jobs.look(database, job_id)
    assert (job.status, job.worker, job_id in broker.done) == (JobStatus.RUNNING, "wrk_other", False)
    assert run_folders(settings) == []


def test_the_lease_is_renewed_while_the_trainer_works(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    running = Background(context, beat, "hang")
    first = jobs.look(database, job_id).heartbeat_at
    assert first is not None

    wait_until(lambda: (jobs.look(database, job_id).heartbeat_at or first) > first)

    jobs.cancel(database, job_id)
    running.join()


def test_a_cancel_that_races_the_finish_leaves_one_final_status_and_no_stray_model(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    for delay_s in (0.0, 0.05, 0.1, 0.15):
        job_id = jobs.submitted(database, settings)
        running = Background(context, beat, "train")
        time.sleep(delay_s)
        with contextlib.suppress(Conflict):  # where the job was faster
            jobs.cancel(database, job_id)
        running.join()

        with reading(database) as session:
            job = training_jobs.get(session, job_id)
        assert job.status in {JobStatus.CANCELLED, JobStatus.SUCCEEDED}
        assert (job.model is not None) == (job.status is JobStatus.SUCCEEDED)


def test_a_job_is_held_by_nobody_after_any_end(
    context: WorkerContext, beat: Beat, database: SessionFactory, settings: Settings
) -> None:
    jobs.submitted(database, settings)
    job = attempt(context, beat, "train")
    with transaction(database) as session:
        assert job_queue.claim_next(session, "training", "w") is None
        assert session.scalars(select(Checkpoint.job_id)).all() == [job.id] * 3
