"""The fork server: trainers that start without imports, each in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from shared.db.session import SessionFactory
from shared.job_status import JobStatus
from shared.settings import Settings
from tests import jobs
from tests.waiting import PATIENCE_S, wait_until
from tests.worker.attempts.harness import claim
from worker.attempts import fork_server as module
from worker.attempts.fork_server import ForkServer
from worker.attempts.trainer_process import TrainerProcess, trainer_environment
from worker.attempts.training import environment_now, run_attempt
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat

pytestmark = [
    pytest.mark.slow,  # the server imports torch
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="needs a subreaper"),
]
SPEC = {
    "model_type": "vae",
    "dataset": "digits",
    "seed": 3,
    "hyperparameters": {"epochs": 2, "hidden": [32], "examples_per_epoch": 128, "batch_size": 32},
}
ENDLESS = {**SPEC, "hyperparameters": {**SPEC["hyperparameters"], "epochs": 100_000}}  # type: ignore[dict-item]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    return {**trainer_environment(Settings(home=home, offline=True), is_alone=False), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def server(home: Path, environment: dict[str, str]) -> Iterator[ForkServer]:
    """A fork server; tests that kill it find a new one after a while."""
    with ForkServer(home, lambda: environment) as running:
        yield running


@pytest.fixture
def pid(server: ForkServer) -> int:
    wait_until(lambda: server._server is not None and not server._server.has_ended())
    assert server._server is not None
    return server._server.pid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def written(folder: Path, spec: dict[str, object]) -> Path:
    path = folder / "job.json"
    path.write_text(json.dumps(spec))
    return path


def started(server: ForkServer, folder: Path, environment: dict[str, str], spec: dict[str, object]) -> TrainerProcess:
    trainer = server.start_trainer(written(folder, spec), folder, environment, lambda: False)
    assert trainer is not None
    return trainer


def to_the_end(trainer: TrainerProcess) -> tuple[int, list[dict[str, object]]]:
    lines: list[bytes] = []
    while not trainer.has_ended():
        lines += trainer.lines(0.1)
    lines += trainer.drain()
    return trainer.close(), [json.loads(line) for line in lines]


def published_sha256(folder: Path) -> str:
    return str(json.loads((folder / "result.json").read_text())["sha256"])


def test_forked_trainer_gives_the_weights_of_a_new_program_and_leaves_no_process(
    server: ForkServer, folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    trainer = started(server, folder, environment, SPEC)
    status, events = to_the_end(trainer)

    assert (status, events[-1]["type"]) == (0, "finished")
    assert not psutil.pid_exists(trainer.pid)
    command = [sys.executable, "-m", "worker.train", str(folder / "job.json"), str(tmp_path / "cold")]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S)
    assert published_sha256(folder) == published_sha256(tmp_path / "cold")


def test_trainers_are_processes_of_their_own_with_the_worker_as_parent(
    server: ForkServer, pid: int, environment: dict[str, str], tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for each in folders:
        each.mkdir()
    trainers = [started(server, each, environment, ENDLESS) for each in folders]
    seen = [psutil.Process(trainer.pid) for trainer in trainers]

    assert len({pid, *(trainer.pid for trainer in trainers)}) == 3
    assert [process.ppid() for process in seen] == [os.getpid()] * 2
    assert [process.cwd() for process in seen] == [str(each) for each in folders]
    assert [os.getpgid(trainer.pid) for trainer in trainers] == [trainer.pid for trainer in trainers]
    for trainer in trainers:
        wait_until(lambda trainer=trainer: b'"started"' in b"".join(trainer.lines(0.1)))  # type: ignore[misc]
    trainers[0].request_stop()
    assert to_the_end(trainers[0])[0] == 3
    trainers[1].kill()
    assert trainers[1].close() == -signal.SIGKILL
    assert psutil.Process(pid).children() == []


def test_invalid_specification_and_a_missing_dataset_fail_like_those_of_a_new_program(
    server: ForkServer, folder: Path, environment: dict[str, str]
) -> None:
    trainer = started(server, folder, environment, {**SPEC, "hyperparameters": {"epochs": -1}})
    status, events = to_the_end(trainer)
    assert (status, events[-1]["type"], events[-1]["code"]) == (4, "failed", "invalid_request")


def test_idle_server_has_one_thread_no_gpu_and_no_credentials(
    server: ForkServer, pid: int, folder: Path, environment: dict[str, str]
) -> None:
    started(server, folder, environment, ENDLESS).close()  # the server is ready
    variables = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if line)

    assert variables == environment
    assert not {"MIMEO_DATABASE_URL", "MIMEO_REDIS_URL", "MIMEO_STORAGE_URL"} & variables.keys()
    opened = [str(Path(link).readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert not [name for name in opened if name.startswith("/dev/nvidia")]
    assert "libcuda.so" not in Path(f"/proc/{pid}/maps").read_text()


def test_trainer_survives_the_end_of_its_server_and_the_next_one_is_from_a_new_server(
    server: ForkServer, pid: int, folder: Path, environment: dict[str, str]
) -> None:
    trainer = started(server, folder, environment, SPEC)
    os.kill(pid, signal.SIGKILL)
    assert to_the_end(trainer)[0] == 0

    wait_until(lambda: server._server is not None and server._server.pid != pid)
    trainer = started(server, folder, environment, SPEC)
    assert to_the_end(trainer)[0] == 0


@pytest.mark.parametrize("moment", ["before the request", "with the request unread"])
def test_server_that_dies_starts_no_trainer(
    server: ForkServer, pid: int, folder: Path, environment: dict[str, str], moment: str
) -> None:
    started(server, folder, environment, ENDLESS).close()  # the server is ready
    killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
    if moment == "before the request":
        os.kill(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGSTOP)
        killer.start()

    assert server.start_trainer(written(folder, SPEC), folder, environment, lambda: False) is None

    killer.cancel()
    assert not (folder / "events.jsonl").exists()


def test_trainer_that_ends_before_it_accepts_is_none(
    server: ForkServer, pid: int, folder: Path, environment: dict[str, str]
) -> None:
    spec = written(folder, SPEC)
    assert pid
    before = psutil.Process().children()
    assert server.start_trainer(spec, folder / "missing", environment, lambda: False) is None
    left = [each for each in psutil.Process().children() if each not in before]
    assert all("worker.fork_server" in each.cmdline() for each in left)


def test_attempt_that_is_over_waits_for_no_server(
    server: ForkServer, pid: int, folder: Path, environment: dict[str, str]
) -> None:
    os.kill(pid, signal.SIGSTOP)
    assert server.start_trainer(written(folder, SPEC), folder, environment, lambda: True) is None
    os.kill(pid, signal.SIGKILL)


def test_server_with_another_environment_is_not_used_and_replaced(
    home: Path, folder: Path, environment: dict[str, str]
) -> None:
    wanted = [environment]  # the newest one
    with ForkServer(home, lambda: wanted[-1]) as server:
        wait_until(lambda: server._server is not None)
        assert server._server is not None
        first = server._server.pid
        other = {**environment, "GOMP_SPINCOUNT": "12345"}
        assert server.start_trainer(written(folder, SPEC), folder, other, lambda: False) is None
        wanted.append(other)
        wait_until(lambda: server._server is not None and server._server.environment == other)
        assert server._server.pid != first
        trainer = started(server, folder, other, SPEC)
        assert b"GOMP_SPINCOUNT=12345" in Path(f"/proc/{trainer.pid}/environ").read_bytes()
        trainer.close()
        last = server._server.pid
    assert not psutil.pid_exists(last)


def test_server_that_cannot_start_is_tried_again_less_and_less_often(
    home: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = home / "starts"
    code = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(1)"
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", code))
    monkeypatch.setattr(module, "_BACKOFF_S", 0.01)
    with ForkServer(home, lambda: environment) as server:
        wait_until(lambda: server._failures >= 2)
    assert len(starts.read_text()) >= 2
    assert server._start_at > 0


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_job_takes_one_attempt_whether_or_not_the_server_lives(
    database: SessionFactory, settings: Settings, context: WorkerContext, worker_heartbeat: WorkerHeartbeat
) -> None:
    with ForkServer(settings.runs_path, lambda: environment_now(context)) as server:
        for kills in (False, True):
            job_id = jobs.submitted(database, settings, **SPEC)
            wait_until(lambda: server._server is not None and not server._server.has_ended())
            if kills:
                assert server._server is not None
                os.kill(server._server.pid, signal.SIGKILL)
            run_attempt(context, claim(context), worker_heartbeat, server)
            job = jobs.read_job(database, job_id)
            assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)


def test_kill_of_the_worker_leaves_neither_server_nor_trainer(home: Path, folder: Path) -> None:
    spec = written(folder, ENDLESS)
    program = (
        "import os, sys, time\nfrom pathlib import Path\nfrom worker.attempts.fork_server import ForkServer\n"
        "with ForkServer(Path(sys.argv[3]), lambda: dict(os.environ)) as server:\n"
        "  while server._server is None: time.sleep(0.01)\n"
        "  t = server.start_trainer(Path(sys.argv[1]), Path(sys.argv[2]), dict(os.environ), lambda: False)\n"
        "  print(t.pid, server._server.pid, flush=True)\n"
        "  time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(spec), str(folder), str(home)]
    environment = {**os.environ, "MIMEO_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as worker:
        assert worker.stdout is not None
        children = [int(pid) for pid in worker.stdout.readline().split()]
        assert len(children) == 2
        worker.kill()
    wait_until(lambda: not any(map(is_running, children)))


def test_server_ends_in_silence_when_its_worker_stops_during_the_imports(environment: dict[str, str]) -> None:
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.close()
    with its:
        command = [sys.executable, "-m", "worker.fork_server", str(its.fileno())]
        done = subprocess.run(
            command, env=environment, pass_fds=[its.fileno()], capture_output=True, timeout=PATIENCE_S, check=False
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
