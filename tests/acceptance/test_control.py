"""Pause, resume, retry and delete on the real stack, through HTTP and the command line."""

import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.stack import Stack, wait_for_job
from tests.stack.processes import ROOT
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.slow

LONG = {
    "model_type": "vae",
    "dataset": "digits",
    "seed": 7,
    "hyperparameters": {"epochs": 5000, "examples_per_epoch": 6000},
}
SHORT = {**LONG, "hyperparameters": {"epochs": 2, "examples_per_epoch": 2000}}


def mimeo(stack: Stack, *arguments: str) -> str:
    env = {**stack.env(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "client.cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout


def files_of(stack: Stack, job_id: str) -> list[str]:
    return [name for _, _, names in os.walk(stack.home / "storage" / "jobs" / job_id) for name in names]


def starts_of(http: httpx.Client, path: str) -> list[int]:
    """The start steps of a job's attempts."""
    events = http.get(f"{path}/events").json()["data"]
    return [event["data"]["step"] for event in events if event["type"] == "started"]


@pytest.fixture
def long_job(http: httpx.Client) -> Iterator[str]:
    """A job that trains until it is stopped, and has a checkpoint. It is cancelled at the end if it still runs."""
    path = f"/v1/training-jobs/{http.post('/v1/training-jobs', json=LONG).json()['id']}"
    wait_until(lambda: http.get(f"{path}/checkpoints").json()["data"])
    yield path
    http.post(f"{path}/cancel")
    wait_until(lambda: http.get(path).json().get("is_terminal", True))


def test_paused_job_frees_its_worker_and_continues_after_resume(
    stack: Stack, http: httpx.Client, long_job: str
) -> None:
    job_id = long_job.rsplit("/", 1)[-1]
    waiting = http.post("/v1/training-jobs", json=SHORT).json()["id"]

    assert mimeo(stack, "pause", job_id).split() in ([job_id, "pausing"], [job_id, "paused"])
    wait_until(lambda: http.get(long_job).json()["status"] == "paused")
    assert wait_for_job(http, f"/v1/training-jobs/{waiting}")["status"] == "succeeded"
    stopped_at = http.get(long_job).json()["progress"]["step"]

    assert mimeo(stack, "resume", job_id) == f"{job_id}  queued\n"
    wait_until(lambda: http.get(long_job).json()["progress"]["step"] > stopped_at)
    assert starts_of(http, long_job) == [0, stopped_at]
    assert http.get(long_job).json()["attempt"] == 1


def test_cancelled_job_is_retried_from_its_checkpoint_and_deleted_with_its_files(
    stack: Stack, http: httpx.Client, long_job: str
) -> None:
    job_id = long_job.rsplit("/", 1)[-1]
    mimeo(stack, "cancel", job_id)
    wait_until(lambda: http.get(long_job).json()["status"] == "cancelled")
    newest = http.get(f"{long_job}/checkpoints").json()["data"][0]["step"]

    mimeo(stack, "retry", job_id)
    wait_until(lambda: len(starts_of(http, long_job)) == 2)
    refused = http.delete(long_job)
    assert (refused.status_code, "running" in refused.json()["detail"]) == (409, True)
    mimeo(stack, "cancel", job_id)
    wait_until(lambda: http.get(long_job).json()["status"] == "cancelled")
    shown = mimeo(stack, "show", job_id)
    for event in ("retried", "Retried on request", f"Resumes at step {newest:,}", "Cancelled on request"):
        assert event in shown
    assert files_of(stack, job_id)

    assert mimeo(stack, "delete", job_id) == f"{job_id}  deleted\n"

    assert http.get(long_job).status_code == 404
    wait_until(lambda: not files_of(stack, job_id))
