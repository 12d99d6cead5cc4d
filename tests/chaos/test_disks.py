"""Disks that are full, read-only, or corrupt the data."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.db.session import reading
from shared.db.tables import Job
from shared.job_status import JobStatus
from shared.services import checkpoints, transitions
from tests.chaos.disks import Disk, small_disk
from tests.chaos.processes import Process
from tests.chaos.rig import Rig
from tests.waiting import wait_until
from tests.worker.attempts.harness import history

LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def runs_disk(tmp_path: Path) -> Iterator[Disk]:
    """The disk of the workdirs."""
    with small_disk(tmp_path / "home" / "runs") as disk:
        yield disk


@pytest.fixture
def storage_disk(tmp_path: Path) -> Iterator[Disk]:
    """The disk of the storage."""
    with small_disk(tmp_path / "home" / "storage") as disk:
        yield disk


def broken(rig: Rig, job_id: str, worker: Process, *, code: str = "storage_full", attempts: int = 1) -> Job:
    """Wait until the job has failed, with a reason for the user and an intact last checkpoint."""
    rig.end(job_id)
    job = rig.read_job(job_id)
    assert (job.status, job.attempt, job.error and job.error["code"]) == (JobStatus.FAILED, attempts, code)
    assert worker.is_alive
    with reading(rig.sessions) as session:
        assert checkpoints.list_for_job(session, job_id)  # the invariants verify them
    return job


def repaired(rig: Rig, job_id: str) -> None:
    """Retry the job: it continues from its last valid checkpoint."""
    with reading(rig.sessions) as session:
        newest = checkpoints.list_for_job(session, job_id)[0].step
    rig.observer.may_return.add(job_id)
    rig.apply(transitions.retry, job_id)
    rig.notify(job_id)
    rig.end()
    assert rig.status(job_id) is JobStatus.SUCCEEDED
    assert rig.starts(job_id)[-1] == newest


def test_disk_full_under_the_run(runs_disk: Disk, patient_rig: Rig, chance: random.Random) -> None:
    patient_rig.reconciler()
    worker, job_id = patient_rig.worker(), patient_rig.submit(max_attempts=2)
    patient_rig.reaches(job_id, chance.randint(5, 15))

    runs_disk.fill()

    job = broken(patient_rig, job_id, worker)
    assert job.error is not None
    assert "No space left on device" in job.error["message"]
    runs_disk.free()
    repaired(patient_rig, job_id)


def test_disk_full_under_the_storage(storage_disk: Disk, patient_rig: Rig, chance: random.Random) -> None:
    patient_rig.reconciler()
    worker, job_id = patient_rig.worker(), patient_rig.submit(max_attempts=2)
    patient_rig.reaches(job_id, chance.randint(5, 15))

    storage_disk.fill()

    job = broken(patient_rig, job_id, worker)
    assert job.error is not None
    assert job.error["message"] == "The disk is full."
    storage_disk.free()
    repaired(patient_rig, job_id)


def test_files_limited_in_size(patient_rig: Rig) -> None:
    patient_rig.reconciler()
    worker = patient_rig.worker(prefix=[sys.executable, "-c", LIMITED])
    job_id = patient_rig.submit(max_attempts=2)

    patient_rig.end()

    job = patient_rig.read_job(job_id)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 2)
    assert job.error is not None
    assert "File too large" in job.error["message"]
    assert worker.is_alive


def test_folder_of_the_runs_read_only(runs_disk: Disk, patient_rig: Rig, chance: random.Random) -> None:
    patient_rig.reconciler()
    worker, job_id = patient_rig.worker(), patient_rig.submit(max_attempts=2)
    patient_rig.reaches(job_id, chance.randint(5, 15))

    wait_until(runs_disk.lock)

    job = broken(patient_rig, job_id, worker, code="internal", attempts=2)
    assert job.error is not None
    assert "Read-only file system" in job.error["message"]
    runs_disk.unlock()
    repaired(patient_rig, job_id)


@pytest.mark.parametrize("damage", ["a byte flipped", "a file truncated"])
def test_checkpoint_damaged(rig: Rig, chance: random.Random, damage: str) -> None:
    # Given: a job whose worker has stopped or was killed
    rig.reconciler()
    worker, job_id = rig.worker(), rig.submit()
    rig.reaches(job_id, chance.randint(9, 20))
    worker.kill() if chance.random() < 0.5 else worker.stop()
    with reading(rig.sessions) as session:
        newest, before, *_ = checkpoints.list_for_job(session, job_id)
    names = ["model.safetensors", "training.safetensors", "manifest.json"]
    file = rig.storage.local_path(f"{newest.storage_key}/{chance.choice(names)}")
    assert file is not None
    data = bytearray(file.read_bytes())
    place = chance.randrange(len(data))
    if damage == "a byte flipped":
        data[place] ^= 1 << chance.randrange(8)
    file.write_bytes(data if damage == "a byte flipped" else data[:place])

    rig.worker()
    rig.end()

    # Then: it continued from the previous checkpoint, with an event
    assert rig.status(job_id) is JobStatus.SUCCEEDED
    steps = [event.data["step"] for event in history(rig.sessions, job_id) if event.type == "checkpoint_damaged"]
    assert steps == [newest.step]
    assert rig.starts(job_id) == [0, before.step]
