"""`mimeo up` from the user's view: start, crash, stop, and the state afterwards."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from client.http import Client
from shared.db.session import sqlite
from tests.servers import free_port
from tests.stack.processes import ROOT, Up, is_alive, pid_of, processes_of
from tests.waiting import PATIENCE_S, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc"),
]

PROGRAMS = ("valkey-server", "api.server", "worker training", "worker generation", "worker.reconciler")


def answers(up: Up) -> bool:
    try:
        with urllib.request.urlopen(f"{up.url}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def runs_completely(up: Up) -> bool:
    commands = processes_of(up.home).values()
    return all(any(program in command for command in commands) for program in PROGRAMS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, Up]]:
    """Two stacks on one machine; the home of the second has a path that is too long for a socket."""
    folder = tmp_path_factory.mktemp("pair")
    deep = folder / ("d" * 100)
    deep.mkdir()
    with Up(folder / "a", free_port()) as first, Up(deep / "b", free_port()) as second:
        yield first.ready(), second.ready()
    for up in (first, second):
        assert up.process.returncode == 0, up.output
        assert processes_of(up.home) == {}
        assert not answers(up)


def test_two_stacks_run_on_one_machine_with_separate_files(pair: tuple[Up, Up]) -> None:
    for up in pair:
        assert answers(up)
        wait_until(partial(runs_completely, up))
        assert (up.home / "mimeo.db").exists()
        assert sum("is ready at" in line for line in up.output.splitlines()) == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_crashed_process_is_restarted(pair: tuple[Up, Up], program: str) -> None:
    up = pair[0]
    wait_until(lambda: runs_completely(up))
    killed = pid_of(up.home, program)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not is_alive(killed))
    wait_until(lambda: runs_completely(up) and pid_of(up.home, program) != killed)
    wait_until(lambda: answers(up))


def test_second_stack_in_the_same_home_is_refused(pair: tuple[Up, Up]) -> None:
    with Up(pair[0].home, free_port()) as refused:
        pair[0].output_path.write_text(refused.output or "")  # the two stacks share a file name
        assert refused.process.wait(PATIENCE_S) == 2
    assert f"another stack (process {pair[0].process.pid})" in refused.output
    assert answers(pair[0])


def refusal(home: Path, port: int, **environment: str) -> str:
    with Up(home, port, **environment) as up:
        assert up.process.wait(PATIENCE_S) == 2
    assert processes_of(home) == {}
    (line,) = up.output.splitlines()
    return line


def test_port_in_use_is_one_line_and_status_2(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        line = refusal(tmp_path / "home", port)
    assert line.startswith(f"mimeo: port {port} on 127.0.0.1 is in use")


def test_unwritable_home_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    assert "cannot write to the home" in refusal(tmp_path / "home", free_port())


def test_invalid_setting_is_one_line_and_status_2(tmp_path: Path) -> None:
    assert "MIMEO_LEASE_S='soon' is not valid" in refusal(tmp_path / "home", free_port(), MIMEO_LEASE_S="soon")


def test_database_at_an_unknown_revision_is_one_line_and_status_2(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with sqlite.connect(home / "mimeo.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("INSERT INTO alembic_version VALUES ('from_the_future')")
    database.close()
    assert "from_the_future" in refusal(home, free_port())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_signal_stops_all_processes_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with Up(tmp_path / "home", free_port()) as up:
        up.ready()
        wait_until(lambda: runs_completely(up))
        up.process.send_signal(number)
        assert up.process.wait(PATIENCE_S) == 0, up.output
    assert processes_of(up.home) == {}
    log = (up.home / "logs" / "supervisord.log").read_text()
    stopped = [log.rindex(f"stopped: {name}") for name in ("reconciler", "api", "valkey")]
    assert stopped == sorted(stopped)
    assert log.rindex("stopped: training-worker") < stopped[1]


@pytest.mark.parametrize("victims", [("up",), ("supervisord",), ("up", "supervisord")], ids="-and-".join)
def test_kill_during_training_leaves_no_process_and_a_usable_home(tmp_path: Path, victims: tuple[str, ...]) -> None:
    with Up(tmp_path / "home", free_port()) as up:
        up.ready()
        wait_until(lambda: runs_completely(up))
        with Client(up.url) as client:
            job = client.train({"model_type": "vae", "dataset": "digits", "hyperparameters": {"epochs": 5000}})
            wait_until(lambda: client.job(job["id"])["progress"]["step"] > 0)
        pids = {"up": up.process.pid, "supervisord": pid_of(up.home, "process_supervisor")}
        for victim in victims:
            os.kill(pids[victim], signal.SIGKILL)
        wait_until(lambda: processes_of(up.home) == {}, because=str(processes_of(up.home)))
        if "up" not in victims:
            assert up.process.wait(PATIENCE_S) == 1
            assert "supervisor ended unexpectedly" in up.output
    with Up(up.home, free_port()) as again:
        again.ready()


def test_stack_that_does_not_become_ready_prints_the_reason_and_ends_with_status_1(tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "api"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise SystemExit('the API is broken on purpose')\n")
    program = (
        "import sys, stack.__main__ as m; from pathlib import Path; "
        f"m.ROOT = Path({str(tmp_path / 'broken')!r}); sys.exit(m.main())"
    )
    environment = {**os.environ, "MIMEO_HOME": str(tmp_path / "home"), "MIMEO_PORT": str(free_port())}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the API ended" in done.stderr
    assert "the API is broken on purpose" in done.stderr
    assert processes_of(tmp_path / "home") == {}
