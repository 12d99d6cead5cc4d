"""docker/make-secrets.sh: the passwords of the Compose file."""

import configparser
import json
import stat
import subprocess
from pathlib import Path

from tests.compose.test_compose_file import COMPOSE


def make(project: Path) -> str:
    command = ["sh", str(project / "docker" / "make-secrets.sh")]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout


def contents(project: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (project / "secrets").iterdir()}


def test_each_secret_of_the_compose_file_is_made_and_readable_in_a_closed_folder(project: Path) -> None:
    make(project)

    assert set(contents(project)) >= set(COMPOSE["secrets"])
    assert stat.S_IMODE((project / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (project / "secrets").iterdir()} == {0o444}
    assert (project / ".env").read_text() == "MIMEO_SECRETS_DIR=./secrets\n"


def test_passwords_are_random_and_long(project: Path, tmp_path: Path) -> None:
    make(project)

    passwords = [text for name, text in contents(project).items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords)
    assert all(len(password) == 64 and int(password, 16) for password in passwords)


def test_server_and_clients_of_object_storage_have_the_same_keys(project: Path) -> None:
    make(project)

    found = contents(project)
    client = configparser.ConfigParser()
    client.read_string(found["s3_credentials"])
    (identity,) = json.loads(found["s3_server.json"])["identities"]
    assert identity["credentials"] == [
        {
            "accessKey": client["default"]["aws_access_key_id"],
            "secretKey": client["default"]["aws_secret_access_key"],
        }
    ]


def test_second_run_changes_nothing_and_fills_what_is_missing(project: Path) -> None:
    make(project)
    before = contents(project)
    (project / "secrets" / "redis_password").unlink()
    (project / ".env").write_text("MIMEO_PORT=9000")  # no line end

    assert make(project).splitlines() == ["written: secrets/redis_password", "written: MIMEO_SECRETS_DIR in .env"]
    assert make(project) == ""

    after = contents(project)
    assert {name for name in before if after[name] != before[name]} == {"redis_password"}
    assert (project / ".env").read_text() == "MIMEO_PORT=9000\nMIMEO_SECRETS_DIR=./secrets\n"
