"""`python -m tests.acceptance.surroundings [disk] [redis] [home] [terminal]`: shows what users see in bad surroundings.

disk: the demonstration on a disk of 1 GB that fills up during the first training; needs the right to mount.
redis: a Redis with 1 MB of memory. home: a home with an unusual name. terminal: a Latin-1 terminal.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from tests.acceptance.stack import Stack, running_stack, wait_for_job
from tests.chaos.disks import small_disk
from tests.servers import free_port, valkey
from tests.stack.processes import ROOT, Up
from tests.waiting import wait_until

SMALL = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 1, "examples_per_epoch": 200}}
STRANGE = "100% #1 ;x?b=c#d%20e häuser 'é' \"q\""


def show_disk(folder: Path) -> None:
    """The demonstration, whose disk is filled while it trains."""
    with small_disk(folder / "disk", "1g") as disk:
        environment = {**os.environ, "MIMEO_HOME": str(disk.folder / "home"), "PYTHONPATH": str(ROOT)}
        demo = subprocess.Popen([sys.executable, "-m", "client.demo"], env=environment, cwd=folder)
        checkpoints = "home/demo/storage/jobs/*/checkpoints/*"
        wait_until(lambda: demo.poll() is not None or any(disk.folder.glob(checkpoints)))
        print("--- a checkpoint is stored; now the disk is filled", flush=True)
        disk.fill()
        print(f"--- exit status {demo.wait()}", flush=True)


def show_redis(folder: Path) -> None:
    """Readiness and a job while Redis is full, and after it has memory again."""
    with valkey() as server, Up(folder / "home", free_port(), MIMEO_REDIS_URL=server.url) as up:
        up.ready()
        server.limit_memory("1mb")
        with httpx.Client(base_url=up.url, timeout=70) as http:
            print(http.get("/readyz").text)
            created = http.post("/v1/training-jobs", json=SMALL)
            print(created.status_code, created.json()["status"])
            server.limit_memory("0")
            print(wait_for_job(http, f"/v1/training-jobs/{created.json()['id']}")["status"])
            wait_until(lambda: http.get("/readyz").status_code == 200)


def show_home(folder: Path) -> None:
    """A training in a home with an unusual name."""
    with Up(folder / STRANGE, free_port()) as up, httpx.Client(base_url=up.url, timeout=70) as http:
        up.ready()
        print(up.output.strip())
        created = http.post("/v1/training-jobs", json=SMALL).json()
        print(wait_for_job(http, f"/v1/training-jobs/{created['id']}")["status"])


def show_terminal(folder: Path) -> None:
    """Commands on a terminal that speaks Latin-1."""
    with running_stack(folder / "home") as stack, httpx.Client(base_url=stack.url, timeout=70) as http:
        job = http.post("/v1/training-jobs", json={**SMALL, "name": "Ziffern 😀 né"}).json()
        for command in (["show", job["id"]], ["jobs"], ["model-types"], ["models"], ["datasets"], ["storage"]):
            print(f"--- mimeo {' '.join(command)}", flush=True)
            _run(stack, command)


def _run(stack: Stack, command: list[str]) -> None:
    environment = {**stack.env(), "PYTHONIOENCODING": "latin-1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "client.cli", *command], env=environment, capture_output=True, check=False
    )
    print((done.stdout + done.stderr).decode("latin-1"), f"(exit status {done.returncode})")


SHOWN = {"disk": show_disk, "redis": show_redis, "home": show_home, "terminal": show_terminal}


def main(names: list[str]) -> None:
    """Show the named ones, or all."""
    for name in names or SHOWN:
        print(f"=== {name}", flush=True)
        with tempfile.TemporaryDirectory(prefix="mimeo-") as folder:
            SHOWN[name](Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
