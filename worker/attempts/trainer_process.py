"""The trainer as a child process: without credentials, killed with its process group, ended with this process."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from shared.settings import Settings
from worker.devices import Device
from worker.openmp import wait_policy

_SOURCE = Path(__file__).resolve().parents[2]
_KEPT = frozenset({
    "HOME", "PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "USER", "LOGNAME", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
})  # fmt: skip
_KEPT_PREFIXES = ("LC_", "OMP_", "GOMP_", "MKL_", "KMP_", "CUDA_", "NVIDIA_", "TORCH", "PYTORCH_", "XDG_")
_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20
_STDERR_TAIL = 8192
_MOST_ERROR_LINES, _LONGEST_ERROR_LINE = 200, 1000


def trainer_environment(settings: Settings, *, is_alone: bool, device: Device | None = None) -> dict[str, str]:
    """The child's whole environment: variables for computation and data. No database, no Redis, no storage keys.

    is_alone: no other training worker runs on this machine. device: a GPU is the only one that the child sees.
    """
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    kept |= wait_policy(kept, is_alone=is_alone)
    kept |= {
        "PYTHONPATH": str(_SOURCE),
        "PYTHONUNBUFFERED": "1",
        "MIMEO_HOME": str(settings.home_path),
        "MIMEO_OFFLINE": "true" if settings.offline else "false",
    }
    if settings.datasets_dir is not None:
        kept["MIMEO_DATASETS_DIR"] = str(settings.datasets_dir.expanduser().resolve())
    if device is not None and device.type == "cuda":
        kept["CUDA_VISIBLE_DEVICES"] = device.id
    return kept


@dataclass(frozen=True)
class Pipes:
    """Descriptors of this process's ends of a child's standard streams."""

    stdin: int
    stdout: int
    stderr: int

    def close(self) -> None:
        """Close all three."""
        for descriptor in (self.stdin, self.stdout, self.stderr):
            os.close(descriptor)


class TrainerProcess:
    """A running child. Its standard output is read in lines; the end of its standard error is kept for the log.

    It leads a process group, so a kill includes its own children. It ends at the end of its standard input, and sets a
    parent death signal, by which Linux kills it with the worker.
    """

    def __init__(self, pid: int, pipes: Pipes, reap: Callable[[], int]) -> None:
        """pid: a child of this process. reap: waits for its end and returns its exit status."""
        self.pid, self._pipes, self._reap = pid, pipes, reap
        self._stdout, self._stderr = pipes.stdout, pipes.stderr
        self._selector = selectors.DefaultSelector()
        for stream in (self._stdout, self._stderr):
            os.set_blocking(stream, False)
            self._selector.register(stream, selectors.EVENT_READ)
        self._unfinished = b""
        self._tail, self._unfinished_error = b"", b""
        self._error_lines: deque[str] = deque(maxlen=_MOST_ERROR_LINES)
        self._is_closed, self._status = False, 0
        self._lock = threading.Lock()

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Self:
        """Start a program."""
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        streams = (process.stdin, process.stdout, process.stderr)
        return cls(process.pid, Pipes(*[_detached(stream) for stream in streams]), process.wait)

    @property
    def stderr_tail(self) -> str:
        """The end of its standard error."""
        return self._tail.decode("utf-8", "replace")

    def error_lines(self) -> list[str]:
        """The lines of its standard error since the last call, the latest of very many."""
        lines = list(self._error_lines)
        self._error_lines.clear()
        return lines

    def has_ended(self) -> bool:
        """Whether the process has ended. Its output may still be unread."""
        # WNOWAIT keeps the zombie, so its pid, also its group's id, is not reused before `close`.
        return self._is_closed or bool(os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))

    def lines(self, timeout: float) -> list[bytes]:
        """Complete lines that came within `timeout` seconds; returns as soon as anything came."""
        if not self._selector.get_map():
            time.sleep(timeout)  # its pipes are closed and it still runs
            return []
        found: list[bytes] = []
        for key, _ in self._selector.select(timeout):
            found += self._read(key.fd)
        return found

    def has_closed_output(self) -> bool:
        """Whether both output streams have ended, as they do with the process."""
        return not self._selector.get_map()

    def drain(self) -> list[bytes]:
        """The rest of an ended child's output, including an unfinished last line."""
        found: list[bytes] = []
        while (streams := self._selector.select(0)) and self._selector.get_map():
            for key, _ in streams:
                found += self._read(key.fd)
        return [*found, self._unfinished] if self._unfinished else found

    def request_stop(self) -> None:
        """Send the stop signal: the trainer writes a checkpoint and ends."""
        try:
            os.write(self._pipes.stdin, b"stop\n")
        except BrokenPipeError:
            return  # it is ending already

    def kill(self) -> None:
        """Kill it and all processes of its group. Without effect after its end; callable from any thread."""
        with self._lock:
            if self._is_closed:
                return
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # macOS raises the latter for a zombie
                return

    def close(self) -> int:
        """Kill it, wait for it and close its pipes; returns its exit status (negative: the signal that ended it)."""
        self.kill()
        with self._lock:
            if not self._is_closed:
                self._status = self._reap()
                _reap_group(self.pid)
                self._is_closed = True
                self._selector.close()
                self._pipes.close()
        return self._status

    def _read(self, descriptor: int) -> list[bytes]:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self._selector.unregister(descriptor)
        if descriptor == self._stderr:
            self._tail = (self._tail + data)[-_STDERR_TAIL:]
            self._take_error(data)
            return []
        *complete, self._unfinished = (self._unfinished + data).split(b"\n")
        if len(self._unfinished) > _LONGEST_LINE:
            self._unfinished = b""
        return complete

    def _take_error(self, data: bytes) -> None:
        *complete, rest = (self._unfinished_error + data).split(b"\n")
        if not data and rest:
            complete, rest = [rest], b""
        self._unfinished_error = rest[-_STDERR_TAIL:]
        lines = (line.decode("utf-8", "replace").rstrip()[:_LONGEST_ERROR_LINE] for line in complete)
        self._error_lines.extend(line for line in lines if line)


def _detached(stream: IO[bytes] | None) -> int:
    """A descriptor of the stream that stays open when the stream is closed."""
    assert stream is not None
    with stream:
        return os.dup(stream.fileno())


def _reap_group(pid: int) -> None:
    """Wait for the killed processes of a group that became children of this process at the end of their parent."""
    try:
        while True:
            os.waitpid(-pid, 0)
    except ChildProcessError:
        return
