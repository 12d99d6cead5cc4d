import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import SetupError
from shared.settings import Settings
from stack.checks import check_port, hold_lock, prepare_home
from tests.stack.processes import is_alive
from tests.waiting import wait_until


def test_home_is_created_with_its_folders_and_a_private_run_folder(tmp_path: Path) -> None:
    prepare_home(Settings(home=tmp_path / "deep" / "home"))
    folders = {path.name for path in (tmp_path / "deep" / "home").iterdir()}
    assert folders == {"run", "logs", "runs", "storage", "datasets"}
    assert (tmp_path / "deep" / "home" / "run").stat().st_mode & 0o777 == 0o700


def test_home_of_an_earlier_version_is_closed_to_other_users(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for folder in ("storage", "logs"):
        (home / folder).mkdir(parents=True)
        (home / folder).chmod(0o755)
    (home / "mimeo.db").write_bytes(b"")
    (home / "mimeo.db").chmod(0o644)
    home.chmod(0o755)
    prepare_home(Settings(home=home))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (home, home / "storage", home / "mimeo.db")}
    assert modes == {"home": 0o700, "storage": 0o700, "mimeo.db": 0o600}


def test_folder_with_other_content_keeps_its_mode_and_mimeos_part_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "shared"
    home.mkdir()
    home.chmod(0o755)
    (home / "other.txt").write_text("of another program")
    prepare_home(Settings(home=home))
    assert home.stat().st_mode & 0o777 == 0o755
    assert (home / "storage").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("below", ["", "below"])
def test_home_that_is_a_file_is_refused_by_name(tmp_path: Path, below: str) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(SetupError, match="set MIMEO_HOME to a folder you can write to"):
        prepare_home(Settings(home=tmp_path / "home" / below))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file system that root cannot write to either")
def test_home_that_cannot_be_created_is_refused() -> None:
    with pytest.raises(SetupError, match="/proc/mimeo"):
        prepare_home(Settings(home=Path("/proc/mimeo")))


def test_port_in_use_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {port} on 127.0.0.1 is in use.*MIMEO_PORT"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7"])
def test_address_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(SetupError, match="MIMEO_HOST"):
        check_port(host, 8000)


def test_second_stack_in_one_home_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    lock = hold_lock(settings)
    try:
        with pytest.raises(SetupError, match=f"process {os.getpid()}.*MIMEO_HOME"):
            hold_lock(settings)
    finally:
        os.close(lock)
    os.close(hold_lock(settings))


def test_start_waits_for_a_stopping_stack_in_the_same_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    lock = hold_lock(settings)
    (tmp_path / "run" / "lock").write_text("999999999\n")  # `mimeo up` has ended; its supervisord still has the lock
    with subprocess.Popen(["sleep", "0.6"], pass_fds=[lock]):
        os.close(lock)
        os.close(hold_lock(settings))


def test_start_waits_for_the_stack_of_a_process_that_was_not_reaped(tmp_path: Path) -> None:
    # Given: `mimeo up` was killed and is a zombie; its supervisord still has the lock
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    lock = hold_lock(settings)
    killed = subprocess.Popen(["sleep", "60"])
    killed.kill()
    wait_until(lambda: not is_alive(killed.pid))
    (tmp_path / "run" / "lock").write_text(f"{killed.pid}\n")
    with subprocess.Popen(["sleep", "0.6"], pass_fds=[lock]):
        os.close(lock)
        os.close(hold_lock(settings))
    killed.wait()
