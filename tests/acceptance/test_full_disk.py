"""The stack on a small disk that fills up, with everything that it writes on that disk."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.stack import wait_for_job
from tests.chaos.disks import Disk, small_disk
from tests.chaos.supervisord import restart_program
from tests.servers import free_port
from tests.stack.processes import Up, is_alive, pid_of
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system in memory"),
]

SMALL = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 1, "examples_per_epoch": 200}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "home", "96m") as disk:
        yield disk


def test_stack_survives_a_full_disk_and_works_again_when_there_is_space(disk: Disk) -> None:
    with Up(disk.folder, free_port()) as up, httpx.Client(base_url=up.url, timeout=70) as http:
        up.ready()
        first = http.post("/v1/training-jobs", json=SMALL).json()["id"]
        assert wait_for_job(http, f"/v1/training-jobs/{first}")["status"] == "succeeded"

        disk.fill()

        # Then: reads go on, and programs are restarted, although no log line can be written
        supervisor = pid_of(up.home, "process_supervisor")
        assert http.get(f"/v1/training-jobs/{first}").status_code == 200
        restart_program(up.home, "api")
        wait_until(lambda: answers(http))
        assert http.get(f"/v1/training-jobs/{first}").json()["status"] == "succeeded"
        assert is_alive(supervisor)

        disk.free()

        created = http.post("/v1/training-jobs", json=SMALL)
        assert created.status_code == 202, created.text
        assert wait_for_job(http, f"/v1/training-jobs/{created.json()['id']}")["status"] == "succeeded"
    assert up.process.returncode == 0, up.output


def answers(http: httpx.Client) -> bool:
    """Whether the API answers."""
    try:
        return http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False
