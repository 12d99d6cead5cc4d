"""The worker's side of the fork server: keeps one running, and starts trainers through it.

docs/decisions/0019-warm-starts.md has the reasons and the measurements.
"""

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import is_transient
from shared.trainer_protocol import ACCEPTED, READY, Forked, ForkRequest
from worker.attempts.trainer_process import Pipes, TrainerProcess
from worker.background import PeriodicThread

log = structlog.get_logger(__name__)

_COMMAND = (sys.executable, "-m", "worker.fork_server")
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 1.0
_BACKOFF_S, _BACKOFF_MAX_S = 1.0, 300.0
_SOUND_S = 60.0  # a server that has lived this long was in order
_START_LIMIT_S = 60.0  # for a server's imports and the start of one trainer
_POLL_S = 0.05


class ForkServer(PeriodicThread):
    """Keeps a fork server running within a `with` block; a server that has ended is replaced, with a backoff.

    environment: the variables of a trainer that starts now. They are fixed at the server's start, since libraries read
    them when they are loaded. A server whose variables no longer fit is replaced while no attempt uses it.
    """

    def __init__(self, folder: Path, environment: Callable[[], Mapping[str, str]]) -> None:
        self._folder, self._environment = folder, environment
        self._lock = threading.Lock()
        self._server: _Server | None = None
        self._failures, self._start_at = 0, 0.0
        super().__init__("fork-server", self._look, shortest_s=_LOOK_S)

    def __enter__(self) -> "ForkServer":
        _become_subreaper()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(None, None, None)
        with self._lock:
            self._stop()

    def start_trainer(
        self, spec: Path, folder: Path, environment: Mapping[str, str], is_over: Callable[[], bool]
    ) -> TrainerProcess | None:
        """Start a trainer; waits for the server's imports where they have not ended.

        None: there is no server, its environment does not fit, it ended, or `is_over` became true meanwhile. No trainer
        is left in that case, and the job has not begun.
        """
        with self._lock:
            server = self._server
            if server is None or server.has_ended():
                return None
            if server.environment != environment:
                log.info("fork server has another environment; the trainer starts without it")
                self._stop()
                return None
            trainer = server.start_trainer(spec, folder, is_over)
            if trainer is None and not is_over():
                log.warning("fork server did not start a trainer; it is replaced")
                self._discard()
            return trainer

    def _look(self) -> float:
        """Replace a server that has ended or does not fit, and start one where there is none."""
        try:
            environment = self._environment()
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            return _LOOK_S
        with self._lock:
            if self._server is not None and self._server.has_ended():
                log.warning("fork server ended", pid=self._server.pid, status=self._server.stop())
                self._discard()
            if self._server is not None and self._server.environment != environment:
                log.info("fork server is replaced: the environment of trainers has changed")
                self._stop()
            if self._server is None and time.monotonic() >= self._start_at:
                self._start(environment)
        return _LOOK_S

    def _start(self, environment: Mapping[str, str]) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._server = _Server(self._folder, environment)
        except OSError as error:
            log.warning("fork server not started", reason=str(error))
            self._back_off()

    def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def _discard(self) -> None:
        """Stop a server that failed. The next one starts later each time, unless this one was long in order."""
        assert self._server is not None
        if time.monotonic() - self._server.started_at > _SOUND_S:
            self._failures = 0
        self._stop()
        self._back_off()

    def _back_off(self) -> None:
        self._start_at = time.monotonic() + min(_BACKOFF_S * 2**self._failures, _BACKOFF_MAX_S)
        self._failures += 1


class _Server:
    """A running fork server, and the socket to it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.environment, self.started_at = dict(environment), time.monotonic()
        self._is_ready = False
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            self._process = subprocess.Popen(
                [*_COMMAND, str(its.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self.environment,
                cwd=folder,
                start_new_session=True,
                pass_fds=[its.fileno()],
            )
        ours.settimeout(_POLL_S)
        self._socket = ours

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def stop(self) -> int:
        """Kill it, without effect on the trainers it has started; returns its exit status."""
        self._process.kill()
        self._socket.close()
        return self._process.wait()

    def start_trainer(self, spec: Path, folder: Path, is_over: Callable[[], bool]) -> TrainerProcess | None:
        """Start a trainer and wait until it has accepted its job. None: it has not, and none is left."""
        deadline = time.monotonic() + _START_LIMIT_S

        def gives_up() -> bool:
            return is_over() or time.monotonic() > deadline

        pipes, its = _pipes()
        try:
            pid = self._fork(ForkRequest(spec=str(spec), run_dir=str(folder), worker_pid=os.getpid()), its, gives_up)
        finally:
            for stream in its:
                os.close(stream)
        if pid == 0:
            pipes.close()  # a trainer that starts after all ends at the end of its standard input
            return None
        trainer = TrainerProcess(pid, pipes, lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        while not gives_up():
            lines = trainer.lines(_POLL_S)
            if ACCEPTED in lines:
                return trainer
            if trainer.has_closed_output():
                break
        trainer.close()
        return None

    def _fork(self, request: ForkRequest, streams: tuple[int, ...], gives_up: Callable[[], bool]) -> int:
        """Send the request; returns the trainer's process id, or 0."""
        try:
            if not self._is_ready and self._receive(gives_up) != READY:
                return 0
            self._is_ready = True
            socket.send_fds(self._socket, [request.model_dump_json().encode()], streams)
            answer = self._receive(gives_up)
            return Forked.model_validate_json(answer).pid if answer else 0
        except (OSError, ValidationError) as error:
            log.warning("fork server does not answer", reason=str(error))
            return 0

    def _receive(self, gives_up: Callable[[], bool]) -> bytes:
        """The next message; empty at the end of the socket, or where `gives_up` became true first."""
        while not gives_up():
            try:
                return self._socket.recv(1 << 12)
            except TimeoutError:
                continue
        return b""


def is_supported() -> bool:
    """Whether this system has what a fork server needs: a subreaper, and a fork after libraries were loaded."""
    return sys.platform == "linux"


def _pipes() -> tuple[Pipes, tuple[int, int, int]]:
    """Three pipes for a child's standard streams: this process's ends, and the child's."""
    stdin, ours = os.pipe()
    (output, stdout), (errors, stderr) = os.pipe(), os.pipe()
    return Pipes(ours, output, errors), (stdin, stdout, stderr)


def _become_subreaper() -> None:
    """Let this process become the parent of descendants whose parent has ended (prctl(2)). Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")
