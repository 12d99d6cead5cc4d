"""One attempt at a training job, from claim to end, with a real child process that uses the protocol."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from shared.broker import NullBroker
from shared.db.session import SessionFactory, reading, transaction
from shared.errors import SpecError
from shared.ids import new_id
from shared.job_status import JobStatus
from shared.services import artifacts, checkpoints, job_queue, metrics, training_jobs, uploaded_datasets
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.uploads import checked, uploaded
from tests.worker.attempts.harness import attempt, claim, event_types, history, workdirs
from worker.attempts import workdir
from worker.checkpoints.manifest import verify
from worker.context import WorkerContext
from worker.sweeper import Sweeper
from worker.worker_heartbeat import WorkerHeartbeat


def test_finished_run_publishes_its_model_with_all_reports(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    broker: NullBroker,
) -> None:
    job_id = jobs.submitted(database, settings, name="mine")

    attempt(context, worker_heartbeat, "train")

    with reading(database) as session:
        job = training_jobs.get(session, job_id)
        curves = metrics.series(session, job_id)
        rows = checkpoints.list_for_job(session, job_id)
        samples, _ = artifacts.list_for_job(session, job_id, kind="sample")
    assert (job.status, job.error, job.attempt) == (JobStatus.SUCCEEDED, None, 1)
    assert (job.device, job.metrics["loss"], job.worker) == ("cpu", 4.0, None)
    assert (job.progress["step"], job.progress["steps"], job.progress["fraction"]) == (6, 6, 1.0)
    assert [point.value for point in curves["loss"]] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0]
    assert [(row.step, row.size) for row in rows] == [(4, len(b"weights 4"))]  # the published weights
    assert job.model is not None
    assert (job.model.checkpoint.step, job.model.quality) == (4, {"val_loss": 1.5})
    assert (job.model.name, job.model.dataset, job.model.versions) == ("mine", "digits", {"fake": "1"})
    assert [sample.name for sample in samples] == ["epoch-0001-t0.5.txt"]
    assert samples[0].details == {"temperature": 0.5}
    assert job_id in broker.done
    assert event_types(database, job_id) == ["queued", "running", "started", "collapse", "succeeded"]
    assert workdirs(context) == []


@pytest.mark.parametrize(("wishes", "expected"), [({}, "auto"), ({"device": "cpu"}, "cpu"), ({"device": None}, "auto")])
def test_trainer_gets_the_device_of_the_job(
    context: WorkerContext,
    database: SessionFactory,
    settings: Settings,
    tmp_path: Path,
    wishes: dict[str, str | None],
    expected: str,
) -> None:
    is_earlier = wishes == {"device": None}  # a job of a release without the field
    job_id = jobs.submitted(database, settings, **({} if is_earlier else wishes))
    if is_earlier:
        spec = jobs.read_job(database, job_id).spec
        jobs.set_values(database, job_id, spec={name: spec[name] for name in spec if name != "device"})
    job = claim(context)
    path = workdir.prepare(context, job, job_queue.lease_of(job), tmp_path)
    assert json.loads(path.read_text())["device"] == expected


def test_each_row_names_existing_and_verified_files(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
    tmp_path: Path,
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "train")

    with reading(database) as session:
        rows = checkpoints.list_for_job(session, job_id)
    [published] = rows
    storage.get_tree(published.storage_key, tmp_path / "published")
    assert verify(tmp_path / "published", weights_only=True).sha256 == published.sha256
    Sweeper(settings, database, storage).round()
    kept = {f"jobs/{job_id}/checkpoints/{name}" for name in storage.list_names(f"jobs/{job_id}/checkpoints")}
    assert kept == {f"{published.storage_key}/{name}" for name in ("model.safetensors", "manifest.json")}
    assert published.size == len(storage.read_bytes(f"{published.storage_key}/model.safetensors"))


def test_failed_run_keeps_the_checkpoints_that_continue_it(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
    tmp_path: Path,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=1)
    attempt(context, worker_heartbeat, "sample_and_crash")

    Sweeper(settings, database, storage).round()
    with reading(database) as session:
        rows = checkpoints.list_for_job(session, job_id)
    assert rows
    for row in rows:
        storage.get_tree(row.storage_key, tmp_path / str(row.step))
        assert verify(tmp_path / str(row.step)).sha256 == row.sha256


def test_checkpoint_that_an_unfinished_job_will_read_stays_after_success(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
) -> None:
    # Given: a job that will start from a checkpoint of a job that has not succeeded yet
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "crash_once")
    with reading(database) as session:
        [first] = checkpoints.list_for_job(session, job_id)
    follower = jobs.submitted(database, settings, init_from=first.id)
    jobs.set_values(database, job_id, not_before=None)

    attempt(context, worker_heartbeat, "crash_once")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    with reading(database) as session:
        assert {row.step for row in checkpoints.list_for_job(session, job_id)} == {first.step, 4}
    Sweeper(settings, database, storage).round()
    attempt(context, worker_heartbeat, "train")
    assert jobs.status_of(database, follower) is JobStatus.SUCCEEDED


def test_published_weights_start_another_job_and_other_checkpoints_do_not(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "train")
    Sweeper(settings, database, storage).round()
    with reading(database) as session:
        [published] = checkpoints.list_for_job(session, job_id)

    follower = jobs.submitted(database, settings, init_from=published.id)
    attempt(context, worker_heartbeat, "train")
    assert jobs.status_of(database, follower) is JobStatus.SUCCEEDED
    with pytest.raises(SpecError, match="keeps its published weights only"):
        jobs.submitted(database, settings, init_from=new_id("ckp"))


def test_trainer_has_no_credentials(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("MIMEO_DATABASE_URL", "MIMEO_REDIS_URL", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "ANY_TOKEN"):
        monkeypatch.setenv(name, "secret")
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "train")

    with reading(database) as session:
        [sample], _ = artifacts.list_for_job(session, job_id, kind="sample")
    environment = json.loads(storage.read_bytes(sample.storage_key))
    assert "secret" not in environment.values()
    assert {name for name in environment if name.startswith("MIMEO_")} == {"MIMEO_HOME", "MIMEO_OFFLINE"}


def test_other_output_on_the_pipes_is_ignored(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "noise")
    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED


def test_damaged_checkpoint_gets_no_row_and_no_file(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "damaged")

    assert jobs.status_of(database, job_id) is JobStatus.SUCCEEDED
    with reading(database) as session:
        assert [row.step for row in checkpoints.list_for_job(session, job_id)] == [4]
    Sweeper(settings, database, storage).round()
    stored = {int(name.split("-")[0]) for name in storage.list_names(f"jobs/{job_id}/checkpoints")}
    assert stored == {4}


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("crash", "internal", "ended with status 1"),
        ("lies", "internal", "without a result"),
        ("killed", "worker_lost", "SIGKILL"),
        ("escape", "internal", "outside its folder"),
    ],
)
def test_crashing_trainer_is_retried_until_the_last_attempt(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    broker: NullBroker,
    behaviour: str,
    code: str,
    words: str,
) -> None:
    job_id = jobs.submitted(database, settings, max_attempts=2)

    attempt(context, worker_heartbeat, behaviour)
    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, job_id in broker.done) == (JobStatus.QUEUED, 1, False)

    jobs.set_values(database, job_id, not_before=None)
    attempt(context, worker_heartbeat, behaviour)
    job = jobs.read_job(database, job_id)
    assert (job.status, job.attempt, job_id in broker.done) == (JobStatus.FAILED, 2, True)
    assert job.error is not None
    assert job.error["code"] == code
    assert words in job.error["message"]
    assert workdirs(context) == []


def test_divergence_fails_the_job_at_once_with_a_hint(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    attempt(context, worker_heartbeat, "diverged")

    job = jobs.read_job(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error == {"code": "diverged", "message": "loss became nan at step 3.", "hint": "Lower the rate."}


def test_job_over_its_time_limit_fails_with_timeout(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings, timeout_s=1)
    attempt(context, worker_heartbeat, "work")

    job = jobs.read_job(database, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] == "timeout"


def test_silent_trainer_is_killed_and_retried(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, database: SessionFactory, settings: Settings
) -> None:
    job_id = jobs.submitted(database, settings)
    impatient = settings.model_copy(update={"stall_timeout_s": 0.5})
    hurried = replace(context, settings=impatient)
    attempt(hurried, worker_heartbeat, "hang")

    assert jobs.status_of(database, job_id) is JobStatus.QUEUED
    assert "reported nothing" in history(database, job_id)[-1].message


@pytest.mark.parametrize("change", ["replaced", "deleted"])
def test_job_does_not_train_on_another_text_than_it_was_submitted_with(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
    change: str,
) -> None:
    uploaded(database, storage, "mine", b"To be or not to be. " * 50)
    job_id = jobs.submitted(database, settings, model_type="lstm", dataset="mine")
    jobs.set_values(database, job_id, status=JobStatus.CANCELLED)
    other = checked("mine", b"That is the question. " * 50)
    uploaded_datasets.put(storage, other)
    with transaction(database) as session:
        if change == "replaced":
            uploaded_datasets.replace(session, other, None)
        else:
            uploaded_datasets.delete(session, "mine")
    jobs.set_values(database, job_id, status=JobStatus.QUEUED)

    attempt(context, worker_heartbeat, "train")

    job = jobs.read_job(database, job_id)
    assert job.error is not None
    assert job.error["code"] == "dataset_unavailable"
    assert f"was {change} after this job was submitted" in job.error["message"]


def test_dataset_missing_in_storage_fails_the_job(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    storage: Storage,
) -> None:
    stored = uploaded(database, storage, "gone", b"To be or not to be. " * 50)
    job_id = jobs.submitted(database, settings, model_type="lstm", dataset="gone")
    storage.delete_file(stored.storage_key)

    attempt(context, worker_heartbeat, "train")

    job = jobs.read_job(database, job_id)
    assert (job.status, job.error and job.error["code"]) == (JobStatus.FAILED, "dataset_unavailable")
