"""The stack on a small disk that fills up, with everything that it writes on that disk."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.stack import wait_for_job
from tests.chaos.disks import Disk, small_disk
from tests.chaos.supervisord import restart_program
from tests.servers import free_port
from tests.stack.processes import Up, is_alive, pid_of, processes_of
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system in memory"),
]

SMALL = {
    "model_type": "vae",
    "dataset": "digits",
    "hyperparameters": {"epochs": 1, "examples_per_epoch": 200, "hidden": [64]},
}
LONG = {**SMALL, "hyperparameters": {"epochs": 5000, "examples_per_epoch": 2000, "hidden": [64]}}
LEAST = str(16 << 20)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "home", "128m") as disk:
        yield disk


def submit(http: httpx.Client, body: dict[str, Any]) -> str:
    """Submit a training job. Returns its path."""
    response = http.post("/v1/training-jobs", json=body)
    assert response.status_code == 202, response.text
    return f"/v1/training-jobs/{response.json()['id']}"


def answers(http: httpx.Client) -> bool:
    """Whether the API answers."""
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_stack_survives_a_full_disk_and_works_again_when_there_is_space(disk: Disk) -> None:
    # Given: a job that has succeeded, one that trains, and one that waits for it
    with (
        Up(disk.folder, free_port(), MIMEO_MIN_FREE_BYTES=LEAST) as up,
        httpx.Client(base_url=up.url, timeout=70) as http,
    ):
        up.ready()
        first = submit(http, SMALL)
        assert wait_for_job(http, first)["status"] == "succeeded"
        running, waiting = submit(http, LONG), submit(http, SMALL)
        wait_until(lambda: http.get(f"{running}/checkpoints").json()["data"])

        disk.fill()

        # Then: reads go on, programs are restarted although no log line can be written, and writes name the reason
        supervisor = pid_of(up.home, "process_supervisor")
        assert http.get(first).status_code == 200
        restart_program(up.home, "api")
        wait_until(lambda: answers(http))
        assert http.get(first).json()["status"] == "succeeded"
        refused = http.post("/v1/training-jobs", json=SMALL)
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        ready = http.get("/readyz")
        assert ready.status_code == 503
        assert "disk" in [check["name"] for check in ready.json()["checks"] if not check["ok"]]
        wait_until(lambda: not trainers(up))

        disk.free()

        # Then: the job that trained has failed with the reason, and the one that waited runs by itself
        failed = wait_for_job(http, running)
        assert (failed["status"], failed["error"]["code"], failed["attempt"]) == ("failed", "storage_full", 1)
        assert wait_for_job(http, waiting)["status"] == "succeeded"
        wait_until(lambda: http.get("/readyz").status_code == 200)
        # A retry continues from the last checkpoint.
        newest = http.get(f"{running}/checkpoints").json()["data"][0]["step"]
        assert http.post(f"{running}/retry").status_code == 202
        wait_until(lambda: http.get(running).json()["progress"].get("step", 0) > newest)
        http.post(f"{running}/cancel")
        assert is_alive(supervisor)
    assert up.process.returncode == 0, up.output


def trainers(up: Up) -> list[int]:
    """Process ids of the stack's trainers: a trainer works in the folder of its run."""
    return [pid for pid in processes_of(up.home) if folder_of(pid).startswith("trn_")]


def folder_of(pid: int) -> str:
    """Name of a process's working directory; empty when the process has ended."""
    try:
        return Path(psutil.Process(pid).cwd()).name
    except psutil.Error:
        return ""


def test_stack_starts_on_a_disk_with_little_space_and_serves_reads(disk: Disk) -> None:
    with (
        Up(disk.folder, free_port(), MIMEO_MIN_FREE_BYTES=str(1 << 30)) as up,
        httpx.Client(base_url=up.url, timeout=70) as http,
    ):
        up.ready()
        assert "MIMEO_MIN_FREE_BYTES" in up.output
        assert http.get("/v1/models").status_code == 200
        assert http.post("/v1/training-jobs", json=SMALL).json()["code"] == "storage_full"
