"""The trainer as a child process: without credentials, killed with its process group, ended with this process."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.settings import Settings
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


def trainer_environment(settings: Settings, *, is_alone: bool) -> dict[str, str]:
    """The child's whole environment: variables for computation and data. No database, no Redis, no storage keys.

    is_alone: no other training worker runs on this machine.
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
    return kept


class TrainerProcess:
    """A running child. Its standard output is read in lines; the end of its standard error is kept for the log.

    It leads a process group, so a kill includes its own children. It ends at the end of its standard input, and sets a
    parent death signal, by which Linux kills it with the thread that started it.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdout, self._stderr = self._process.stdout.fileno(), self._process.stderr.fileno()
        self._selector = selectors.DefaultSelector()
        for stream in (self._stdout, self._stderr):
            os.set_blocking(stream, False)
            self._selector.register(stream, selectors.EVENT_READ)
        self._unfinished = b""
        self._tail = b""
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process id, which is also its group's."""
        return self._process.pid

    @property
    def stderr_tail(self) -> str:
        """The end of its standard error."""
        return self._tail.decode("utf-8", "replace")

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

    def drain(self) -> list[bytes]:
        """The rest of an ended child's output, including an unfinished last line."""
        found: list[bytes] = []
        while (streams := self._selector.select(0)) and self._selector.get_map():
            for key, _ in streams:
                found += self._read(key.fd)
        return [*found, self._unfinished] if self._unfinished else found

    def request_stop(self) -> None:
        """Send the stop signal: the trainer writes a checkpoint and ends."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"stop\n")
            self._process.stdin.flush()
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
            status = self._process.wait()
            self._is_closed = True
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue  # an unread `stop` in the buffer
        return status

    def _read(self, descriptor: int) -> list[bytes]:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return []
        if not data:
            self._selector.unregister(descriptor)
        if descriptor == self._stderr:
            self._tail = (self._tail + data)[-_STDERR_TAIL:]
            return []
        *complete, self._unfinished = (self._unfinished + data).split(b"\n")
        if len(self._unfinished) > _LONGEST_LINE:
            self._unfinished = b""
        return complete
