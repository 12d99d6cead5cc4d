import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack import parent_death_signal
from tests.stack.processes import is_alive
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals the death of a parent")


def test_command_ends_when_its_parent_is_killed() -> None:
    command = parent_death_signal.command("sleep", "60")
    program = f"import subprocess, time\np = subprocess.Popen({command!r})\nprint(p.pid, flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{pid}/cmdline").read_text().startswith("sleep"))
        parent.kill()
    wait_until(lambda: not is_alive(pid))


def test_chain_of_processes_ends_with_the_topmost() -> None:
    inner = parent_death_signal.command("sleep", "60")
    middle = f"import subprocess, time\np = subprocess.Popen({inner!r})\nprint(p.pid, flush=True)\ntime.sleep(60)"
    environment = {**os.environ, parent_death_signal.PARENT_VARIABLE: str(os.getpid())}
    command = parent_death_signal.command(sys.executable, "-c", middle)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as outer:
        assert outer.stdout is not None
        pid = int(outer.stdout.readline())
        assert is_alive(pid)
        outer.kill()
    wait_until(lambda: not is_alive(pid))


def test_command_does_not_start_after_the_end_of_its_parent() -> None:
    environment = {**os.environ, parent_death_signal.PARENT_VARIABLE: "1"}
    done = subprocess.run(
        parent_death_signal.command("echo", "started"), env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


def test_exit_status_and_signals_pass_through() -> None:
    assert subprocess.run(parent_death_signal.command("sh", "-c", "exit 7"), check=False).returncode == 7
    with subprocess.Popen(parent_death_signal.command("sleep", "60")) as process:
        command = Path(f"/proc/{process.pid}/cmdline")
        wait_until(lambda: command.read_text().startswith("sleep"))
        process.send_signal(signal.SIGINT)
    assert process.returncode == -signal.SIGINT
