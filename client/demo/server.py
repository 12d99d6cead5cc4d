"""The server of the demonstration: a running one, or an embedded stack."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.errors import ClientError, ServerUnreachable
from client.http import Client

READY_S = 90.0
STOP_S = 60.0


@contextmanager
def demo_server(url: str | None, home: Path) -> Iterator[Client]:
    """A client of the server at `url`; without one, of a stack in `home` on a free port, stopped at the end.

    Raises ClientError when the server does not answer or the stack does not start.
    """
    if url is not None:
        with Client(url) as client:
            client.is_healthy()
            yield client
        return
    home.mkdir(parents=True, exist_ok=True)
    log_path = home / "demo-stack.log"
    port = _free_port()
    environment = {**os.environ, "MIMEO_HOME": str(home), "MIMEO_PORT": str(port)}
    environment |= {"MIMEO_HOST": "127.0.0.1", "MIMEO_AUTH": "off"}
    with log_path.open("wb") as log:
        # A session of its own: Ctrl-C stops the demonstration, which then stops the stack.
        stack = subprocess.Popen(
            [sys.executable, "-m", "stack", "--end-with-parent"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            _wait_until_ready(client, stack, log_path)
            yield client
    finally:
        if stack.poll() is None:
            stack.send_signal(signal.SIGTERM)
        stack.wait(STOP_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(client: Client, stack: "subprocess.Popen[bytes]", log_path: Path) -> None:
    deadline = time.monotonic() + READY_S
    while stack.poll() is None and time.monotonic() < deadline:
        try:
            if client.is_ready():
                return
        except ServerUnreachable:
            pass  # not listening yet
        time.sleep(0.1)
    raise ClientError(f"the stack did not start:\n{log_path.read_text(errors='replace').strip()}")
