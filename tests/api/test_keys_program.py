"""`mimeo keys`: the program that creates, lists and revokes API keys."""

import subprocess
import sys
from pathlib import Path

import pytest

from api import keys
from shared.db.session import SessionFactory, transaction
from shared.services import api_keys
from shared.settings import Settings


@pytest.fixture
def program(settings: Settings, database: SessionFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMEO_HOME", str(settings.home))
    monkeypatch.setenv("MIMEO_DATABASE_URL", settings.resolved_database_url)


@pytest.mark.usefixtures("program")
def test_key_is_created_shown_once_listed_and_revoked(
    database: SessionFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys.main(["create", "--owner", "ada", "--scope", "read", "--days", "30", "--name", "laptop"]) == 0
    shown = capsys.readouterr()
    key = shown.out.strip()
    assert "Owner ada, scopes: read, expires" in shown.err
    with transaction(database) as session:
        found = api_keys.identify(session, key)
    assert found is not None
    assert (found.owner, set(found.scopes)) == ("ada", {"read"})

    assert keys.main(["list"]) == 0
    listed = capsys.readouterr().out
    assert found.key_id is not None
    assert found.key_id in listed
    assert "ada" in listed
    assert "laptop" in listed
    assert key not in listed

    assert keys.main(["revoke", found.key_id]) == 0
    with transaction(database) as session:
        assert api_keys.identify(session, key) is None
    assert keys.main(["list", "--owner", "ada"]) == 0
    assert "revoked" in capsys.readouterr().out


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["create", "--owner", "Ada Lovelace"], "lower-case letters"),
        (["revoke", "0123456789ab"], "There is no API key with that id"),
    ],
)
def test_invalid_arguments_end_with_one_line(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keys.main(arguments) == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("days", ["0", "-1", "nan", "1e9", "soon"])
def test_invalid_days_are_refused(days: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        keys.main(["create", f"--days={days}"])
    assert ended.value.code == 2
    assert "days" in capsys.readouterr().err


def test_absent_database_is_named_and_not_created(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "api.keys", "create", "--owner", "ada"]
    environment = {"MIMEO_HOME": str(tmp_path / "other"), "PATH": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"mimeo: There is no database at {tmp_path}/other/mimeo.db. Set MIMEO_HOME")
    assert not (tmp_path / "other").exists()


def test_database_without_tables_is_named(empty_database_url: str, tmp_path: Path) -> None:
    if empty_database_url.startswith("sqlite"):
        file = Path(empty_database_url.removeprefix("sqlite:///"))
        file.parent.mkdir(exist_ok=True)
        file.touch()
    command = [sys.executable, "-m", "api.keys", "list"]
    environment = {"MIMEO_DATABASE_URL": empty_database_url, "MIMEO_HOME": str(tmp_path), "PATH": ""}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("mimeo: The database has no tables for API keys")
    assert "Traceback" not in ended.stderr
