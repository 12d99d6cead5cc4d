"""`mimeo up` in homes with unusual names, with the access rights of their files."""

import signal
import stat
import sys
from pathlib import Path

import httpx
import pytest

from tests.acceptance.stack import wait_for_job
from tests.servers import free_port
from tests.stack.processes import Up, is_alive, processes_of
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc"),
]

SMALL = {
    "model_type": "vae",
    "dataset": "digits",
    "hyperparameters": {"epochs": 1, "examples_per_epoch": 200},
}


def open_to_others(folder: Path) -> list[str]:
    """Paths of a home that other users may read or enter, with their modes. Sockets are in a closed folder."""
    return [
        f"{stat.S_IMODE(path.lstat().st_mode):o} {path}"
        for path in [folder, *folder.rglob("*")]
        if path.lstat().st_mode & 0o077 and not path.is_symlink() and not path.is_socket()
    ]


@pytest.mark.parametrize("name", ["100% #1 ;x?b=c#d%20e %(ENV_HOME)s", "häuser 'é' \"q\" a::b $HOME"])
def test_home_with_any_name_trains_and_stores_files_for_this_user_only(tmp_path: Path, name: str) -> None:
    with Up(tmp_path / name, free_port()) as up:
        up.ready()
        with httpx.Client(base_url=up.url, timeout=70) as http:
            created = http.post("/v1/training-jobs", json=SMALL)
            assert created.status_code == 202, created.text
            job = wait_for_job(http, f"/v1/training-jobs/{created.json()['id']}")
        assert (job["status"], job["error"]) == ("succeeded", None)
        assert open_to_others(up.home) == []
        assert (up.home / "logs" / "api.log").stat().st_size > 0
        assert (up.home / "mimeo.db").exists()
    assert up.process.returncode == 0, up.output


def test_start_after_a_killed_stack_that_its_parent_has_not_reaped(tmp_path: Path) -> None:
    with Up(tmp_path / "home", free_port()) as up:
        up.ready()
        up.process.send_signal(signal.SIGKILL)
        wait_until(lambda: not is_alive(up.process.pid))  # a zombie: this process has not waited for it
        with Up(up.home, free_port()) as again:
            again.ready()
    assert processes_of(up.home) == {}
