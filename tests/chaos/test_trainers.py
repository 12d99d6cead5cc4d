"""Trainings that cannot succeed: the job fails with a reason, and the worker runs the next job."""

import random
import sys

import pytest

from shared.job_status import JobStatus
from tests.chaos.rig import MakeRig, Rig

# Bytes of address space that suffice for torch and a small model, and not for the large model below.
LIMITED = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30)); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
SMALL = {"epochs": 1, "hidden": [16], "examples_per_epoch": 256}


@pytest.mark.starts_first
def test_out_of_memory(make_rig: MakeRig) -> None:
    # Given: an estimate that admits a job although there is too little memory
    rig = make_rig(worker_memory_bytes=1 << 50, stall_timeout_s=300, lease_s=60.0)
    worker = rig.real_worker(prefix=[sys.executable, "-c", LIMITED])
    # A batch of one example cannot be split, so that there is one attempt.
    large = rig.submit_real(hyperparameters={**SMALL, "hidden": [8192] * 8, "batch_size": 1})
    small = rig.submit_real(hyperparameters=SMALL)

    rig.end()

    job = rig.read_job(large)
    assert (job.status, job.attempt, job.error and job.error["code"]) == (JobStatus.FAILED, 1, "out_of_memory")
    assert rig.status(small) is JobStatus.SUCCEEDED
    assert worker.is_alive


@pytest.mark.starts_first
def test_loss_that_is_no_number(patient_rig: Rig) -> None:
    worker = patient_rig.real_worker()
    wild = patient_rig.submit_real(
        hyperparameters={**SMALL, "epochs": 50, "learning_rate": 10, "schedule": "constant", "warmup_steps": 0}
    )
    sound = patient_rig.submit_real(hyperparameters=SMALL)

    patient_rig.end()

    job = patient_rig.read_job(wild)
    assert (job.status, job.attempt, job.error and job.error["code"]) == (JobStatus.FAILED, 1, "diverged")
    assert job.error is not None
    assert "learning_rate" in job.error["hint"]
    assert patient_rig.status(sound) is JobStatus.SUCCEEDED
    assert worker.is_alive


def test_hung_trainer(make_rig: MakeRig, chance: random.Random) -> None:
    rig = make_rig(stall_timeout_s=3.0, lease_s=60.0)
    rig.reconciler()
    worker = rig.worker(act="hang_once", at=chance.randint(5, 15), step_s=0.05)
    job_id = rig.submit(20)

    rig.end()

    assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 2)
    assert "retrying" in rig.events(job_id)
    assert rig.starts(job_id)[1] > 0
    assert worker.is_alive
