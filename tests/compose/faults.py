"""Scaling, kills of containers and a rolling update of the workers, each while jobs run."""

import subprocess
import time

import httpx

from tests.compose import jobs
from tests.compose.project import Project

KILLED = ("training-worker", "redis", "postgres", "api", "reconciler")
WORKER_IMAGE = "mimeo-worker:0.1.0"
JOB = {
    "model_type": "vae",
    "dataset": "digits",
    "hyperparameters": {"epochs": 8, "examples_per_epoch": 8_000},
}
TIMEOUT_S = 600.0
POLL_S = 0.3


def wait_until_running(http: httpx.Client, job_ids: list[str]) -> None:
    """Wait until each job has recorded a step."""
    deadline = time.monotonic() + TIMEOUT_S
    for job_id in job_ids:
        while True:
            job = http.get(f"/v1/training-jobs/{job_id}").json()
            assert not job["is_terminal"], f"{job_id} ended before the fault: make it longer"
            if job["status"] == "running" and (job["progress"] or {}).get("step"):
                break
            assert time.monotonic() < deadline, f"{job_id} does not start: {job}"
            time.sleep(POLL_S)


def wait_through_outage(http: httpx.Client, job_id: str) -> jobs.Json:
    """Poll a job until it has succeeded; connections that fail are repeated."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            response = http.get(f"/v1/training-jobs/{job_id}")
        except httpx.TransportError:
            time.sleep(POLL_S)
            continue
        if response.status_code == 200 and response.json()["is_terminal"]:
            job: jobs.Json = response.json()
            assert job["status"] == "succeeded", job
            return job
        time.sleep(POLL_S)
    raise AssertionError(f"{job_id} has not ended after {TIMEOUT_S} s")


def scale_in_while_running(project: Project, http: httpx.Client) -> list[jobs.Json]:
    """Three jobs run on three workers, two workers are removed, and each job succeeds without a lost attempt."""
    job_ids = [jobs.submit(http, {**JOB, "seed": seed}) for seed in (1, 2, 3)]
    wait_until_running(http, job_ids)
    project.up("--no-recreate", "--scale", "training-worker=1")
    assert len(project.containers("training-worker")) == 1
    ended = [wait_through_outage(http, job_id) for job_id in job_ids]
    assert [job["attempt"] for job in ended] == [1, 1, 1], [job["attempt"] for job in ended]
    return ended


def kill_while_running(project: Project, http: httpx.Client, service: str) -> jobs.Json:
    """Kill the container of a service while a job runs; the engine starts it again, and the job succeeds."""
    job_id = jobs.submit(http, {**JOB, "seed": 4})
    wait_until_running(http, [job_id])
    (container,) = project.containers(service)
    subprocess.run(["docker", "kill", container], check=True, capture_output=True)
    project.up("--no-recreate")
    return wait_through_outage(http, job_id)


def update_while_running(project: Project, http: httpx.Client) -> jobs.Json:
    """Replace the worker image while a job runs; the new worker continues it."""
    job_id = jobs.submit(http, {**JOB, "seed": 5})
    wait_until_running(http, [job_id])
    before = project.containers("training-worker")
    content = f"FROM {WORKER_IMAGE}\nLABEL mimeo.update={time.time_ns()}\n"
    subprocess.run(
        ["docker", "build", "--tag", WORKER_IMAGE, "-"], input=content, text=True, check=True, capture_output=True
    )
    project.up()
    assert project.containers("training-worker") != before, "the worker was not replaced"
    return wait_through_outage(http, job_id)
