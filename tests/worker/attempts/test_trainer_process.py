"""The trainer process: read, stopped, killed, and never orphaned."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.settings import Settings
from tests.waiting import PATIENCE_S, wait_until
from worker.attempts.trainer_process import TrainerProcess, trainer_environment


@contextmanager
def child(program: str, folder: Path) -> Iterator[TrainerProcess]:
    started = TrainerProcess.start([sys.executable, "-u", "-c", program], {"PATH": os.environ["PATH"]}, folder)
    try:
        yield started
    finally:
        started.close()


def all_lines(started: TrainerProcess) -> list[bytes]:
    found: list[bytes] = []
    while not started.has_ended():
        found += started.lines(0.1)
    return found + started.drain()


def test_lines_are_complete_for_any_chunks_of_writes(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfor part in ('on', 'e\\ntw', 'o\\n', 'last'):\n  sys.stdout.write(part); time.sleep(.02)"
    )
    with child(program, tmp_path) as started:
        assert all_lines(started) == [b"one", b"two", b"last"]
        assert started.close() == 0


def test_last_lines_of_standard_error_are_kept(tmp_path: Path) -> None:
    with child("import sys; sys.stderr.write('a' * 100_000 + 'the end')", tmp_path) as started:
        all_lines(started)
        assert started.stderr_tail.endswith("the end")
        assert len(started.stderr_tail) <= 8192


def test_child_that_does_not_read_cannot_block_a_stop(tmp_path: Path) -> None:
    with child("import time; time.sleep(600)", tmp_path) as started:
        started.request_stop()
        started.kill()
        wait_until(started.has_ended)
        started.request_stop()
        assert started.close() == -signal.SIGKILL
        started.kill()  # harmless


def test_wait_for_a_child_with_closed_output_is_not_a_busy_loop(tmp_path: Path) -> None:
    with child("import os, time; os.close(1); os.close(2); time.sleep(600)", tmp_path) as started:
        wait_until(lambda: not started.lines(0.01) and not started._selector.get_map())
        before = time.monotonic()
        assert started.lines(0.2) == []
        assert time.monotonic() - before >= 0.2
        started.kill()


def test_kill_includes_the_child_s_children(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid); time.sleep(600)"
    )
    with child(program, tmp_path) as started:
        found: list[bytes] = []
        while not found:  # a partial line gives none
            found = started.lines(PATIENCE_S)
        [line] = found
    wait_until(lambda: not Path(f"/proc/{int(line)}").exists() or _is_zombie(int(line)))


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_trainer_ends_with_a_killed_supervisor(tmp_path: Path) -> None:
    # Given: a supervisor process that starts the real trainer and is then killed
    program = (
        "import os, sys, time\nfrom pathlib import Path\nfrom worker.attempts.trainer_process import TrainerProcess\n"
        "code = 'import time; from worker.trainer.stop_signal import StopSignal; StopSignal().follow_supervisor(); "
        "print(1, flush=True); time.sleep(600)'\n"
        "c = TrainerProcess.start([sys.executable, '-c', code], dict(os.environ), Path('.'))\n"
        "c.lines(60); print(c.pid, flush=True); time.sleep(600)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert supervisor.stdout is not None
    trainer = int(supervisor.stdout.readline())

    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()

    wait_until(lambda: not Path(f"/proc/{trainer}").exists() or _is_zombie(trainer))


def test_environment_has_the_variables_of_the_computation_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("GOMP_SPINCOUNT", "5000")
    monkeypatch.setenv("MIMEO_REDIS_URL", "redis://secret")
    settings = Settings(home=tmp_path, datasets_dir=tmp_path / "data", offline=True)

    environment = trainer_environment(settings, is_alone=False)

    assert environment["OMP_NUM_THREADS"] == "2"
    assert environment["GOMP_SPINCOUNT"] == "5000"
    assert "OMP_WAIT_POLICY" not in environment
    assert environment["MIMEO_DATASETS_DIR"] == str(tmp_path / "data")
    assert "MIMEO_REDIS_URL" not in environment
    again = Settings.model_validate({"home": environment["MIMEO_HOME"], "offline": environment["MIMEO_OFFLINE"]})
    assert (again.home_path, again.offline) == (settings.home_path, True)
