"""The API in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from shared.settings import Settings
from tests.servers import free_port
from tests.waiting import PATIENCE_S


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server. log: its output so far."""

    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return "127.0.0.1", int(self.url.rsplit(":", 1)[1])

    def resources(self) -> psutil.Process:
        """The process, for its memory, threads and descriptors."""
        return psutil.Process(self.process.pid)


@contextmanager
def serve(settings: Settings, *, before: str = "", port: int | None = None) -> Iterator[Server]:
    """A server on the settings' database, Redis and home.

    before: Python to run before it starts. port: a free one when absent.
    """
    port = port or free_port()
    settings.home_path.mkdir(parents=True, exist_ok=True)
    log = settings.home_path / "api.log"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MIMEO_")},
        "MIMEO_HOME": str(settings.home_path),
        "MIMEO_PORT": str(port),
        "MIMEO_DATABASE_URL": settings.resolved_database_url,
        "MIMEO_REDIS_URL": settings.resolved_redis_url,
        "MIMEO_AUTH": settings.auth,
        "MIMEO_API_THREADS": str(settings.api_threads),
        "MIMEO_API_WAITS": str(settings.api_waits),
        "MIMEO_MAX_STREAMS": str(settings.max_streams),
        "MIMEO_LOG_FORMAT": "json",
    }
    start = f"import runpy; {before}; runpy.run_module('api.server', run_name='__main__')"
    command = [sys.executable, "-c", start] if before else [sys.executable, "-m", "api.server"]
    with log.open("wb") as stream, subprocess.Popen(command, env=environment, stdout=stream, stderr=stream) as process:
        server = Server(url=f"http://127.0.0.1:{port}", process=process, log=log)
        try:
            _wait_until_it_answers(server)
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            httpx.get(f"{server.url}/healthz", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(server.log.read_text())
