"""Several worker processes side by side: `python -m worker training` with more than one job for each device.

The processes are independent: each has its own row, device lease and job. This process only starts them, stops them
after a stop signal, and ends when one of them ends, so that its own supervisor starts all of them again.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from types import FrameType

import structlog

from shared.settings import Settings
from worker.devices import MOST_AUTOMATIC, Device

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def count(settings: Settings, devices: Sequence[Device]) -> int:
    """Number of worker processes. devices: that they see."""
    if settings.jobs_per_device != "auto":
        return settings.jobs_per_device
    return MOST_AUTOMATIC if devices[0].type == "cuda" else 1


class SideBySide:
    """Processes that run one command."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._received: list[int] = []

    def run(self, processes: int) -> int:
        """Start processes and wait until all have ended. Returns 0 after a stop signal, else a status of failure.

        When one ends without a stop signal, the others are stopped in order.
        """
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        for _ in range(processes):
            if not self._received:
                self._start()
        status = 0
        while self._running:
            pid, ended = os.wait()
            process = self._running.pop(pid, None)
            if process is None:
                continue
            process.returncode = os.waitstatus_to_exitcode(ended)
            if not self._received:
                log.error("a worker process ended; the others are stopped", pid=pid, status=process.returncode)
                status = max(1, process.returncode)
                self._on_signal(signal.SIGTERM, None)
        return status

    def _start(self) -> None:
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which passes it on once.
        process = subprocess.Popen([*self._command, "--parent", str(os.getpid())], start_new_session=True)
        self._running[process.pid] = process
        if self._received:  # while the process was started
            process.terminate()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)
        for process in list(self._running.values()):
            process.terminate()  # also after Ctrl-C: SIGINT would end a process that still imports with a traceback
