"""Every process is restarted, one after another, while jobs run and wait. No job and no client is affected."""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.job_status import JobStatus
from tests.acceptance.stack import running_stack
from tests.chaos.postgresql import Server
from tests.chaos.processes import Process
from tests.chaos.rig import MakeRig, Rig
from tests.chaos.supervisord import restart_program
from tests.waiting import PATIENCE_S, wait_until

DISTURBED = {"reaped", "retrying", "failed"}


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str, tmp_path: Path) -> str:
    """PostgreSQL is restarted as well."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'home' / 'mimeo.db'}"
    return str(request.getfixturevalue("restartable").fresh_database())


@contextmanager
def users(rig: Rig, client: httpx.Client) -> Iterator[None]:
    """Clients that submit jobs all the time, and retry while the API is unavailable."""
    leaving = threading.Event()

    def submit() -> None:
        number = 0
        while not leaving.wait(0.4):
            number += 1
            request = {"json": rig.body(5), "headers": {"Idempotency-Key": f"job-{number}"}}
            wait_until(lambda request=request: accepted(client, request))  # type: ignore[misc]

    def accepted(client: httpx.Client, request: dict[str, Any]) -> bool:
        try:
            answer = client.post("/v1/training-jobs", **request)
        except httpx.TransportError:
            return False
        if answer.status_code != 202:
            return False
        rig.adopt(answer.json())
        return True

    thread = threading.Thread(target=submit)
    thread.start()
    try:
        yield
    finally:
        leaving.set()
        thread.join(PATIENCE_S)


@pytest.mark.starts_first
def test_rolling_restart(
    request: pytest.FixtureRequest, make_rig: MakeRig, database_kind: str, chance: random.Random
) -> None:
    # Given: every kind of process, long jobs with one attempt only, and clients that submit more
    rig = make_rig(lease_s=30.0)
    api, client = rig.api()
    processes: list[Process] = [rig.reconciler(), rig.worker(), rig.worker(), api]
    ids = [rig.submit(40, max_attempts=1) for _ in range(4)]
    wait_until(lambda: sum(rig.status(job_id) is JobStatus.RUNNING for job_id in ids) == 2)

    # When: each process is stopped and restarted
    with users(rig, client):
        chance.shuffle(processes)
        for process in processes:
            time.sleep(chance.uniform(0.2, 1))
            assert process.stop() in {0, -signal.SIGTERM}
            process.start()
            if process is api:
                wait_until(lambda: client_answers(client))
        rig.valkey.kill()
        rig.valkey.start()
        if database_kind == "postgresql":
            restartable: Server = request.getfixturevalue("restartable")
            restartable.restart("fast")
    rig.end()
    client.close()

    # Then: no job failed, and none used two attempts
    for job_id in rig.accepted:
        assert (rig.status(job_id), rig.read_job(job_id).attempt) == (JobStatus.SUCCEEDED, 1)
        assert not DISTURBED & set(rig.events(job_id))


def client_answers(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.starts_first
def test_rolling_restart_of_the_embedded_stack(tmp_path: Path, run: int) -> None:
    # Given: `mimeo up` with a running training, a waiting one, and a model to generate from
    long = {"model_type": "vae", "dataset": "digits", "max_attempts": 1,
            "hyperparameters": {"epochs": 60, "hidden": [16], "examples_per_epoch": 2000}}  # fmt: skip
    short = {**long, "hyperparameters": {"epochs": 1, "hidden": [16], "examples_per_epoch": 500}}
    with running_stack(tmp_path / "home") as stack, httpx.Client(base_url=stack.url, timeout=90) as client:
        first = client.post("/v1/training-jobs", json=short).json()["id"]
        wait_until(lambda: job(client, first)["is_terminal"])
        ids = [client.post("/v1/training-jobs", json=body).json()["id"] for body in (long, short)]
        wait_until(lambda: job(client, ids[0])["progress"].get("step", 0) > 0)
        made = {"model": first, "sampling": {"mode": "random", "n": 4}, "max_attempts": 1}
        generation = client.post("/v1/generation-jobs", json=made).json()["id"]

        # When: supervisord restarts each of its programs in turn
        for program in ("training-worker", "generation-worker", "reconciler", "valkey", "api"):
            restart_program(stack.home, program)
        wait_until(lambda: client_answers(client))

        # Then: all jobs end as without a restart
        for job_id in ids:
            wait_until(lambda job_id=job_id: job(client, job_id)["is_terminal"])  # type: ignore[misc]
            found = job(client, job_id)
            assert (found["status"], found["attempt"]) == ("succeeded", 1), found["error"]
            events = client.get(f"/v1/training-jobs/{job_id}/events", params={"limit": 100}).json()["data"]
            assert not DISTURBED & {event["type"] for event in events}
        wait_until(lambda: client.get(f"/v1/generation-jobs/{generation}").json()["is_terminal"])
        assert client.get(f"/v1/generation-jobs/{generation}").json()["status"] == "succeeded"


def job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/training-jobs/{job_id}").json()
    return found
