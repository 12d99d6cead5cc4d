"""A real embedded stack for a test: `mimeo up` in a home of its own, on a port of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers import free_port
from tests.waiting import PATIENCE_S

MIMEO = str(Path(sys.executable).parent / "mimeo")


@dataclass(frozen=True)
class Stack:
    """A running stack. process: `mimeo up` itself."""

    url: str
    home: Path
    process: subprocess.Popen[bytes]

    def env(self) -> dict[str, str]:
        """Variables that point the command line at this stack."""
        return {**os.environ, "MIMEO_URL": self.url, "MIMEO_HOME": str(self.home)}


@contextmanager
def running_stack(
    home: Path, extra_env: Mapping[str, str] | None = None, *, ready_s: float = PATIENCE_S, source: Path | None = None
) -> Iterator[Stack]:
    """`mimeo up` until the block ends. Raises TimeoutError, with the stack's output, if it is not ready in time.

    source: another checkout with a .venv of its own; this one where None.
    """
    port = free_port()
    env = {
        **os.environ,
        "MIMEO_HOME": str(home),
        "MIMEO_PORT": str(port),
        "MIMEO_READY_MODELS": "0",
        **(extra_env or {}),
    }
    program = MIMEO if source is None else str(source / ".venv" / "bin" / "mimeo")
    log_path = home.parent / f"{home.name}-up.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen([program, "up"], cwd=source, env=env, stdout=log, stderr=subprocess.STDOUT)
    stack = Stack(url=f"http://127.0.0.1:{port}", home=home, process=process)
    try:
        _wait_until_ready(stack, log_path, ready_s)
        yield stack
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE_S)


def _wait_until_ready(stack: Stack, log_path: Path, ready_s: float) -> None:
    deadline = time.monotonic() + ready_s
    while time.monotonic() < deadline and stack.process.poll() is None:
        try:
            if httpx.get(f"{stack.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass  # the server does not listen yet
        time.sleep(0.1)
    raise TimeoutError(f"the stack is not ready:\n{log_path.read_text()}")


def wait_for_job(client: httpx.Client, path: str, *, timeout_s: float = 240) -> dict[str, Any]:
    """Poll a job until it is terminal and return it. Raises TimeoutError with the last body."""
    deadline = time.monotonic() + timeout_s
    job: dict[str, Any] = {}
    while time.monotonic() < deadline:
        response = client.get(path)
        response.raise_for_status()
        job = response.json()
        if job["is_terminal"]:
            return job
        time.sleep(0.2)
    raise TimeoutError(f"{path} is not done after {timeout_s} s: {job}")
