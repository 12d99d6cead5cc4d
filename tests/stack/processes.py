"""Checks of processes from outside, and `mimeo up` with its output in a file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from shared.settings import Settings
from tests.waiting import PATIENCE_S, wait_until

ROOT = Path(__file__).parents[2]


def is_alive(pid: int) -> bool:
    """True while the process runs; false for a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def processes_of(home: Path) -> dict[int, str]:
    """Command lines of all live processes whose MIMEO_HOME is `home`, with any parent.

    Valkey writes its title over its environment, and that title contains the path of its socket.
    """
    found = {}
    socket = str(Settings(home=home).redis_socket)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        belongs = f"MIMEO_HOME={home}".encode() in environment or socket in command
        if belongs and is_alive(int(entry.name)):
            found[int(entry.name)] = command.strip()
    return found


def pid_of(home: Path, part: str) -> int:
    """The oldest process of the home whose command line holds `part`."""
    return min(pid for pid, command in processes_of(home).items() if part in command)


class Up:
    """`mimeo up` in a home of its own, with its output in a file. Leaving the `with` block ends all processes."""

    def __init__(self, home: Path, port: int, **environment: str) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.output_path = home.parent / f"{home.name}.out"
        with self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "client.cli", "up"],
                cwd=ROOT,
                env={**os.environ, "MIMEO_HOME": str(home), "MIMEO_PORT": str(port), **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> "Up":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    def ready(self) -> "Up":
        """Wait for the readiness line."""
        wait_until(lambda: self.process.poll() is not None or "is ready" in self.output)
        assert self.process.poll() is None, self.output
        return self
