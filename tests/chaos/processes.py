"""Processes that tests start, signal and observe from outside."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.waiting import PATIENCE_S


class Process:
    """One process of a rig, with a log of its own."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._command, self._environment = list(command), dict(environment)
        self.start()

    def start(self) -> None:
        """Start or restart it."""
        with self.log.open("ab") as stream:
            self.popen = subprocess.Popen(self._command, env=self._environment, stdout=stream, stderr=stream)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def has_logged(self, words: str) -> bool:
        """Whether its log contains the words."""
        return words in self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def kill(self) -> None:
        """Kill it."""
        self.popen.kill()
        self.popen.wait()

    def freeze(self) -> None:
        """Suspend it with SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it with SIGCONT."""
        self.signal(signal.SIGCONT)

    def stop(self) -> int:
        """Send SIGTERM and wait for the end. Returns the exit status."""
        self.signal(signal.SIGTERM)
        return self.popen.wait(PATIENCE_S)

    def trainer(self) -> int | None:
        """Pid of its trainer, which works in the folder of its attempt, or None."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children():
                if is_running(child.pid) and Path(child.cwd()).name.startswith("trn_"):
                    return int(child.pid)
        return None


class Keeper:
    """Restarts processes that have ended."""

    def __init__(self) -> None:
        self._kept: list[Process] = []
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self.restarts = 0

    def keep(self, *processes: Process) -> None:
        """Keep these processes running, too."""
        self._kept += processes
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Restart no more processes."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        while not self._ending.wait(0.1):
            for process in self._kept:
                if not process.is_alive and not self._ending.is_set():
                    process.start()
                    self.restarts += 1


def is_running(pid: int) -> bool:
    """Whether a process runs; false for a zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_of(home: Path) -> list[psutil.Process]:
    """Live processes whose MIMEO_HOME is this one, with any parent."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            is_ours = process.environ().get("MIMEO_HOME") == str(home)
            if is_ours and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
