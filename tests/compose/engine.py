"""A Docker engine with Compose v2: the machine's own, or one that is started and stopped here."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


class EngineError(Exception):
    """The engine or one of its commands is unavailable. The message gives the reason and a remedy."""


def docker(*arguments: str, check: bool = True, timeout_s: float = 1800.0) -> str:
    """The output of `docker ARGUMENTS`.

    Raises:
        EngineError: it exited with an error, and `check` is set.
    """
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise EngineError(f"docker {' '.join(arguments)} exited with {done.returncode}:\n{tail}")
    return done.stdout


def _answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@contextmanager
def running_engine(log: Path) -> Iterator[None]:
    """An engine that answers. A running engine is used and left running.

    Raises:
        EngineError: none runs and none can be started.
    """
    if shutil.which("docker") is None:
        raise EngineError("there is no `docker` command; on Debian: apt-get install docker.io tini debootstrap")
    if _answers():
        yield
        return
    daemon = _start(log)
    try:
        yield
    finally:
        daemon.terminate()
        daemon.wait(STOP_TIMEOUT_S)


def _start(log: Path) -> "subprocess.Popen[bytes]":
    if os.geteuid() != 0:
        raise EngineError("no Docker engine answers, and starting one takes root: start Docker, or join its group")
    if shutil.which("dockerd") is None:
        raise EngineError(
            "no Docker engine answers and `dockerd` is not installed; on Debian: apt-get install docker.io"
        )
    print("No engine answers: starting dockerd", flush=True)
    with log.open("wb") as output:
        daemon = subprocess.Popen(["dockerd"], stdout=output, stderr=output, start_new_session=True)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if _answers():
            return daemon
        if daemon.poll() is not None:
            break
        time.sleep(0.5)
    daemon.terminate()
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise EngineError(f"dockerd could not be started here:\n{tail}")


def has_compose() -> bool:
    """Whether `docker compose` is available."""
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
