"""`python -m tests.upgrades.make_fixture CHECKOUT`: writes tests/upgrades/home.tar.xz with the code of a checkout.

The home has finished trainings, a paused one of each model type in the middle of an epoch, and one whose stack was
killed. Names of the machine are replaced.
"""

import contextlib
import os
import platform
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from pysqlite3 import dbapi2

from tests.pictures import grey_arrays, npz
from tests.servers import free_port
from tests.stack.processes import processes_of

FIXTURE = Path(__file__).parent / "home.tar.xz"
TEXT = "the quick brown fox jumps over the lazy dog\n" * 40
TINY: dict[str, dict[str, Any]] = {
    "lstm": {"layers": [8], "embedding": 4, "batch_size": 4, "window": 16},
    "vae": {"hidden": [2], "batch_size": 4},
    "acgan": {"width": 4, "latent_size": 8, "batch_size": 4},
    "gan": {"width": 4, "latent_size": 8, "batch_size": 4},
}
EXAMPLES = {"lstm": 4000, "vae": 4000, "acgan": 400, "gan": 400}  # of an epoch that takes some seconds
FINISHED = ("lstm", "vae", "acgan")
PATIENCE_S = 120.0
MOST_BYTES = 4000  # of a sample or event file


def main(checkout: Path) -> None:
    """Run the checkout's stack in a temporary home, kill it, and pack the home."""
    with tempfile.TemporaryDirectory(prefix="mimeo-fixture-") as folder:
        home = Path(folder) / "home"
        port = free_port()
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "MIMEO_HOME": str(home),
            "MIMEO_PORT": str(port),
            "MIMEO_READY_MODELS": "0",
            "MIMEO_CONTROL_POLL_S": "0.05",
        }
        stack = subprocess.Popen([sys.executable, "-m", "stack"], cwd=checkout, env=environment)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                fill(http)
        finally:
            wait(lambda: not killed(home))
            stack.wait()
        copy = Path(folder) / "copy"
        shutil.copytree(home / "storage", copy / "storage")
        for file in home.glob("mimeo.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
        clean(copy)
        pack(copy)
    print(f"{FIXTURE}: {FIXTURE.stat().st_size:,} bytes")


def killed(home: Path) -> list[int]:
    """The processes of a home, which are killed, also those that would end by themselves."""
    found = list(processes_of(home))
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def fill(http: httpx.Client) -> None:
    """Finished, paused and running trainings."""
    wait(lambda: ready(http))
    form, files = {"name": "verses", "kind": "text"}, {"file": ("text.txt", TEXT.encode())}
    http.post("/v1/datasets", data=form, files=files).raise_for_status()
    arrays = npz(**grey_arrays(40, side=16))
    form, files = {"name": "dots", "kind": "images", "size": "16"}, {"file": ("dots.npz", arrays)}
    http.post("/v1/datasets", data=form, files=files).raise_for_status()
    for model_type in FINISHED:
        path = submit(http, model_type, "finished", epochs=1, examples_per_epoch=64)
        wait(lambda path=path: http.get(path).json()["is_terminal"])
        assert http.get(path).json()["status"] == "succeeded", http.get(path).json()["error"]
    for model_type, examples in EXAMPLES.items():
        path = submit(http, model_type, "paused", epochs=2, examples_per_epoch=examples)
        wait(lambda path=path: (http.get(path).json()["progress"] or {}).get("step"))
        http.post(f"{path}/pause").raise_for_status()
        wait(lambda path=path: http.get(path).json()["status"] == "paused")
    path = submit(http, "vae", "running", epochs=4, examples_per_epoch=EXAMPLES["vae"])
    wait(lambda: http.get(f"{path}/checkpoints").json()["data"])


def ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def submit(http: httpx.Client, model_type: str, name: str, **hyperparameters: Any) -> str:
    dataset = "verses" if model_type == "lstm" else "dots"
    body = {
        "model_type": model_type,
        "dataset": dataset,
        "name": name,
        "seed": 7,
        "hyperparameters": TINY[model_type] | hyperparameters,
    }
    answer = http.post("/v1/training-jobs", json=body)
    assert answer.status_code == 202, answer.text
    return f"/v1/training-jobs/{answer.json()['id']}"


def wait(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def clean(home: Path) -> None:
    """Remove what belongs to this machine from the database, and its write-ahead log."""
    connection: sqlite3.Connection = dbapi2.connect(str(home / "mimeo.db"), isolation_level=None)
    connection.create_function("lower", 1, str.lower, deterministic=True)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("DELETE FROM workers")
    machine = re.compile("|".join(map(re.escape, {socket.gethostname(), platform.node()})))
    for table, columns in {"jobs": ("worker",), "job_events": ("message", "data")}.items():
        for column in columns:
            rows = connection.execute(f"SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
            for row_id, value in rows:
                new = machine.sub("host", value)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (new, row_id))
    shrink(home, connection)
    connection.execute("VACUUM")
    connection.close()


def shrink(home: Path, connection: sqlite3.Connection) -> None:
    """Remove samples and event files that are large."""
    rows = connection.execute("SELECT id, storage_key FROM artifacts WHERE size > ?", (MOST_BYTES,)).fetchall()
    for artifact_id, key in rows:
        connection.execute("DELETE FROM artifacts WHERE id = ?", (artifact_id,))
        (home / "storage" / key).unlink()


def pack(home: Path) -> None:
    """The database and the stored files, as an archive without owners and times."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = member.mtime = 0
        member.uname = member.gname = ""
        return member

    with tarfile.open(FIXTURE, "w:xz", preset=9) as archive:
        for name in ("mimeo.db", "storage"):
            archive.add(home / name, name, filter=plain)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
