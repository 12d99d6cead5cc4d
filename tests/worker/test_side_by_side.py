"""Several worker processes under one: signals, ends, and the number of them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.db.session import SessionFactory, reading
from shared.db.tables import Worker
from shared.services import workers
from shared.settings import Settings
from tests.servers import Valkey
from tests.stack.processes import is_alive
from tests.waiting import PATIENCE_S, wait_until
from worker import side_by_side
from worker.devices import Device

# It records its process id and its signals, and ends at the first one, at SIGUSR1 with a status.
CHILD = """
import os, pathlib, signal, sys
file = pathlib.Path(sys.argv[1]) / str(os.getpid())
expected = {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, expected)
file.touch()
number = signal.sigwait(expected)
if number == signal.SIGUSR1:
    sys.exit(int(sys.argv[2]))
file.write_text(f"{number:d} {os.getppid() == int(sys.argv[4])}")
"""
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts three processes under one, and kills the remaining ones at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(status: int = 0) -> subprocess.Popen[bytes]:
        child = [sys.executable, "-c", CHILD, str(tmp_path), str(status)]
        code = f"import sys; from worker.side_by_side import SideBySide; sys.exit(SideBySide({child!r}).run(3))"
        started.append(subprocess.Popen([sys.executable, "-c", code]))
        wait_until(lambda: len(list(tmp_path.iterdir())) == 3)
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
    for file in tmp_path.iterdir():
        if is_alive(int(file.name)):
            os.kill(int(file.name), signal.SIGKILL)


def received(folder: Path) -> list[str]:
    return sorted(file.read_text() for file in folder.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_stops_every_process_once(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    process = start()
    process.send_signal(number)

    assert process.wait(PATIENCE_S) == 0
    assert received(tmp_path) == [f"{signal.SIGTERM:d} True"] * 3


@pytest.mark.parametrize(("by", "status", "expected"), [("SIGUSR1", 7, 7), ("SIGUSR1", 0, 1), ("SIGKILL", 0, 1)])
def test_end_of_one_process_stops_the_others_and_is_a_failure(
    start: Start, tmp_path: Path, by: str, status: int, expected: int
) -> None:
    process = start(status)
    first = next(tmp_path.iterdir())
    os.kill(int(first.name), signal.Signals[by])

    assert process.wait(PATIENCE_S) == expected
    assert received(tmp_path) == ["", *[f"{signal.SIGTERM:d} True"] * 2]


def test_number_of_processes_follows_the_setting_and_the_device(settings: Settings) -> None:
    cpu = [Device(id="cpu:here", type="cpu", total_bytes=1)]
    gpus = [Device(id=f"GPU-{name}", type="cuda", total_bytes=1) for name in "ab"]
    three = settings.model_copy(update={"jobs_per_device": 3})
    assert [side_by_side.count(settings, seen) for seen in (cpu, gpus)] == [1, 8]
    assert [side_by_side.count(three, seen) for seen in (cpu, gpus)] == [3, 3]


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """One database is enough: the differences between them are tested at lower levels."""
    return str(request.param)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_worker_processes_share_a_device_and_leave_with_the_one_that_started_them(
    database: SessionFactory, settings: Settings, valkey: Valkey, tmp_path: Path, number: signal.Signals
) -> None:
    environment = {
        **os.environ,
        "MIMEO_HOME": str(settings.home),
        "MIMEO_REDIS_URL": valkey.url,
        "MIMEO_DATABASE_URL": settings.resolved_database_url,
        "MIMEO_WARM_START": "0",
        "MIMEO_JOBS_PER_DEVICE": "2",
        "CUDA_VISIBLE_DEVICES": "",
    }

    def alive() -> list[Worker]:
        with reading(database) as session:
            return workers.list_alive(session, settings)

    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "worker", "training"]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: (tmp_path / "log").read_text().count("worker ready") == 2)
        wait_until(lambda: len({each.pid for each in alive() if each.device_id}) == 2)
        assert len({(each.device_id, each.machine) for each in alive()}) == 1
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == (0 if number == signal.SIGTERM else -number)
        wait_until(lambda: alive() == [])
    finally:
        process.kill()
        process.wait()
        for each in alive():
            os.kill(each.pid, signal.SIGKILL)
