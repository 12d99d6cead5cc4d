"""The stop signal of a run: from process signals, or from standard input when a supervisor started it."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

_PR_SET_PDEATHSIG = 1
_EXIT_ORPHANED = 5
_EXIT_INTERRUPTED = 130


def end_with_parent(by: signal.Signals = signal.SIGKILL) -> None:
    """On Linux, let the kernel send this process a signal at the end of the thread that started it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, by)


class StopSignal:
    """Whether the run should stop.

    The loop checks `stop_requested` between steps. Work without such checks (a long final evaluation) runs inside
    `interruptible`: everything is on disk by then, so a stop may end the process at once.
    """

    def __init__(self) -> None:
        self.stop_requested = False
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._lock = threading.Lock()
        self._interrupt: Callable[[], None] | None = None
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def request_stop(self) -> None:
        """Request a checkpoint and the end of the run. Safe in a signal handler: it takes no lock."""
        self.stop_requested = True
        self._wake.put(None)

    @contextmanager
    def interruptible(self, leave: Callable[[], None]) -> Iterator[None]:
        """Within the block, a stop calls `leave` from another thread; `leave` ends the process."""
        with self._lock:
            self._interrupt = leave
        if self.stop_requested:
            self._wake.put(None)
        try:
            yield
        finally:
            with self._lock:
                self._interrupt = None

    def follow_signals(self) -> None:
        """Let SIGTERM and Ctrl-C request a stop; a second Ctrl-C ends the process at once."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def follow_supervisor(self) -> None:
        """Let `stop` on standard input request a stop; the end of standard input ends the process.

        Ctrl-C is ignored: a terminal sends it to the whole process group, and the supervisor handles it.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with_parent()
        threading.Thread(target=self._read_stdin, name="stdin", daemon=True).start()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.stop_requested and number == signal.SIGINT:
            os._exit(_EXIT_INTERRUPTED)
        self.request_stop()

    def _read_stdin(self) -> None:
        # os.read, not sys.stdin: a thread blocked in a buffered reader aborts the interpreter's shutdown.
        tail = b""
        while chunk := os.read(sys.stdin.fileno(), 4096):
            *lines, tail = (tail + chunk).split(b"\n")
            if any(line.strip() == b"stop" for line in lines):
                self.request_stop()
        os._exit(_EXIT_ORPHANED)

    def _serve(self) -> None:
        while True:
            self._wake.get()
            with self._lock:
                if self._interrupt is not None:
                    self._interrupt()
