"""Passwords from files: their place in the URLs, and the line with which a bad file ends a program."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from kombu.utils.url import parse_url
from pydantic import SecretStr
from redis.connection import parse_url as parse_redis_url
from sqlalchemy.engine import make_url

from shared.errors import SetupError
from shared.settings import Settings, reason

DATABASE = "postgresql+psycopg://mimeo@db.example.org:5432/mimeo?sslmode=verify-full"
REDIS = "rediss://redis.example.org:6380/0"
PASSWORDS = ["abc123", "p@ss:w/ord?#%41&é +[x]", quote("%", safe="")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "password"


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_url_gets_the_password_as_its_library_reads_it(file: Path, password: str, end: str) -> None:
    file.write_bytes((password + end).encode())

    settings = Settings(
        database_url=SecretStr(DATABASE),
        database_password_file=file,
        redis_url=SecretStr(REDIS),
        redis_password_file=file,
    )

    database = make_url(settings.resolved_database_url)
    assert database.password == password
    assert database._replace(password=None) == make_url(DATABASE)
    redis = parse_redis_url(settings.resolved_redis_url)  # type: ignore[no-untyped-call]
    assert {name: redis[name] for name in ("host", "port", "db", "password")} == {
        "host": "redis.example.org",
        "port": 6380,
        "db": 0,
        "password": password,
    }
    assert "username" not in redis
    broker = parse_url(settings.celery_broker_url)
    assert (broker["password"], broker["hostname"], broker["port"]) == (password, "redis.example.org", 6380)


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("rediss://h:1/0", "rediss://h:1/0?ssl_cert_reqs=required"),
        ("rediss://h:1/0?ssl_ca_certs=/a.pem", "rediss://h:1/0?ssl_ca_certs=/a.pem&ssl_cert_reqs=required"),
        ("rediss://h:1/0?ssl_cert_reqs=none", "rediss://h:1/0?ssl_cert_reqs=none"),
        ("redis://h:1/0", "redis://h:1/0"),
    ],
)
def test_broker_checks_the_certificate_of_redis_unless_configured_otherwise(url: str, broker: str) -> None:
    assert Settings(redis_url=SecretStr(url)).celery_broker_url == broker


def test_user_of_redis_is_kept(file: Path) -> None:
    file.write_text("secret")

    settings = Settings(redis_url=SecretStr("redis://mimeo@[::1]:6379/2"), redis_password_file=file)

    assert settings.resolved_redis_url == "redis://mimeo:secret@[::1]:6379/2"


def test_password_is_in_no_output_of_the_settings(file: Path) -> None:
    file.write_text("rather-secret")
    settings = Settings(database_url=SecretStr(DATABASE), database_password_file=file)

    assert "rather-secret" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"a\0b", b"x" * 5000, b"\xff\xfe"])
def test_file_without_exactly_one_line_of_text_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)

    with pytest.raises(SetupError) as caught:
        Settings(redis_url=SecretStr(REDIS), redis_password_file=file)

    assert reason(caught.value).startswith(f"MIMEO_REDIS_PASSWORD_FILE: {file} ")
    assert "\n" not in reason(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "MIMEO_REDIS_PASSWORD_FILE is set, but MIMEO_REDIS_URL is not."),
        ("redis://:old@redis:6379/0", "keep one of them"),
        ("redis://user:old@redis:6379/0", "keep one of them"),
        ("unix:///run/redis.sock", "has no host that could ask for a password"),
    ],
)
def test_url_that_cannot_take_a_password_is_refused(file: Path, url: str | None, message: str) -> None:
    file.write_text("secret")

    with pytest.raises(SetupError, match=message) as caught:
        Settings(redis_url=SecretStr(url) if url else None, redis_password_file=file)

    assert "old" not in caught.value.detail


def test_program_with_a_missing_password_file_ends_with_one_line_and_status_2(tmp_path: Path, file: Path) -> None:
    given = {"MIMEO_HOME": str(tmp_path), "MIMEO_DATABASE_URL": DATABASE, "MIMEO_DATABASE_PASSWORD_FILE": str(file)}
    command = [sys.executable, "-m", "migrations", "upgrade"]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    expected = f"mimeo: MIMEO_DATABASE_PASSWORD_FILE: {file} cannot be read: No such file or directory.\n"
    assert done.stderr == expected
