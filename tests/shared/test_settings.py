"""Settings from the environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import SetupError
from shared.settings import Settings, check_exposure

RENAMED = [("MIMEO_HINT_STALE_S", "MIMEO_NOTIFICATION_STALE_S"), ("MIMEO_DEAF_S", "MIMEO_CONSUMER_STALL_S")]


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_renamed_variable_is_refused_with_the_new_name(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(old, "7")

    with pytest.raises(SetupError, match=f"{old} is now called {new}"):
        Settings()


@pytest.mark.parametrize(("old", "new"), RENAMED)
def test_new_name_of_a_renamed_variable_sets_the_value(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(new, "7")

    assert getattr(Settings(), new.removeprefix("MIMEO_").lower()) == 7.0


@pytest.mark.parametrize(
    "program",
    [("-m", "migrations", "current"), ("-m", "worker", "training"), ("-m", "worker.reconciler"), ("-m", "stack")],
    ids=["migrations", "worker", "reconciler", "stack"],
)
def test_program_with_a_renamed_variable_ends_with_one_line_and_status_2(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    environment = {**os.environ, "MIMEO_HOME": str(tmp_path), "MIMEO_DEAF_S": "7"}
    command = [sys.executable, *program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert done.stderr == "mimeo: MIMEO_DEAF_S is now called MIMEO_CONSUMER_STALL_S; rename the variable.\n"


@pytest.mark.parametrize(
    "program",
    [("-c", "import api.wsgi"), ("-m", "worker", "training"), ("-m", "worker.reconciler"), ("-m", "stack")],
    ids=["api", "worker", "reconciler", "stack"],
)
def test_program_with_an_invalid_setting_ends_with_one_line_and_status_2(
    program: tuple[str, ...], tmp_path: Path
) -> None:
    environment = {**os.environ, "MIMEO_HOME": str(tmp_path), "MIMEO_PUBLIC_URL": "notaurl"}
    command = [sys.executable, *program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    expected = "mimeo: MIMEO_PUBLIC_URL='notaurl' is not valid: it must start with http:// or https:// and a host\n"
    assert done.stderr == expected


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.0.0.2", "localhost"])
def test_loopback_address_needs_no_authentication(host: str) -> None:
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "203.0.113.7", "no-such-host.invalid", ""])
def test_other_address_needs_authentication(host: str) -> None:
    with pytest.raises(SetupError, match="MIMEO_AUTH=required"):
        check_exposure(Settings(host=host))
    check_exposure(Settings(host=host, auth="required"))


@pytest.mark.parametrize("program", ["api.server", "stack"])
def test_program_that_others_would_reach_without_keys_ends_with_one_line(program: str, tmp_path: Path) -> None:
    environment = {"MIMEO_HOME": str(tmp_path), "MIMEO_HOST": "0.0.0.0", "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-m", program], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("mimeo: MIMEO_HOST=0.0.0.0 lets other machines reach the API")
    assert ended.stderr.count("\n") == 1
