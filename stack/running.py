"""One run of the stack: start supervisord, wait until the API answers, watch supervisord, stop everything in order."""

import contextlib
import http.client
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import xmlrpc.client
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from supervisor.xmlrpc import SupervisorTransport

from shared.errors import SetupError
from shared.settings import Settings
from stack import configuration, parent_death_signal
from stack.process_tree import become_subreaper, end_descendants, reap
from stack.programs import Program

READY_TIMEOUT_S = 60.0
TAIL_LINES = 20
API_STARTS = 3  # after this number of failed starts the stack gives up
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stack:
    """The child processes of `mimeo up`. started: time.monotonic() at its start."""

    def __init__(
        self, settings: Settings, programs: list[Program], environment: Mapping[str, str], *, started: float
    ) -> None:
        self._started = started
        self._settings = settings
        self._programs = programs
        self._environment = dict(environment)
        self._wake = threading.Event()
        self._stop_requests = 0
        self._supervisor = 0
        self._supervisor_status: int | None = None

    def run(self, lock: int) -> int:
        """Start, serve until a stop signal, stop. Returns the exit status of `mimeo up`.

        lock: descriptor of the home's lock; supervisord inherits it, so the home stays locked while a process runs.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_stop_signal)
        become_subreaper()
        self._start(lock)
        problem = self._wait_until_ready()
        if problem:
            say(f"mimeo: {problem}\n{self._log_tails()}", sys.stderr)
        elif not self._stop_requests:
            self._start_waiting()
            self._announce(time.monotonic() - self._started)
            problem = self._watch()
        self._stop()
        if not problem:
            say("Mimeo has stopped.")
        return 1 if problem else 0

    def _start(self, lock: int) -> None:
        path = self._settings.home_path / "run" / "supervisord.conf"
        try:
            path.write_text(configuration.render(self._programs), encoding="utf-8")
            output = configuration.log_path(self._settings, "supervisord-output").open("wb")
        except OSError as error:
            raise SetupError(f"cannot write {error.filename} ({(error.strerror or str(error)).lower()})") from error
        # A session of its own: Ctrl-C in the terminal reaches only `mimeo up`, which then stops everything in order.
        self._supervisor = subprocess.Popen(
            parent_death_signal.command(sys.executable, "-m", "stack.process_supervisor", "--configuration", str(path)),
            env={
                **self._environment,
                **configuration.variables(self._settings, self._programs),
                parent_death_signal.PARENT_VARIABLE: str(os.getpid()),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
            start_new_session=True,
        ).pid

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1
        self._wake.set()

    def _supervisor_is_gone(self) -> bool:
        ended = reap()
        if self._supervisor in ended:
            self._supervisor_status = ended[self._supervisor]
        return self._supervisor_status is not None

    def _pause(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _wait_until_ready(self) -> str | None:
        """Wait for /readyz. Returns the problem, or None when it is ready or a stop was requested."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        api_pids: set[int] = set()
        while not self._stop_requests:
            if self._supervisor_is_gone():
                return f"the process supervisor ended at once (status {self._supervisor_status})"
            failed = failed_checks(self.url)
            if failed is not None and not failed.keys() - {"disk"}:  # with little space it still serves reads
                for detail in failed.values():
                    say(f"mimeo: {detail}", sys.stderr)
                return None
            # The query also wakes supervisord, which otherwise waits a second before it starts a program.
            api_pids |= {process["pid"] for process in self._processes() if process["name"] == "api" and process["pid"]}
            if len(api_pids) > API_STARTS:
                return f"the API ended {API_STARTS} times while starting"
            if time.monotonic() > deadline:
                return f"not ready after {READY_TIMEOUT_S:.0f} s"
            self._pause(0.05)
        return None

    @property
    def url(self) -> str:
        """URL of this stack's API on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104  compared, not bound
        return f"http://[{host}]:{self._settings.port}" if ":" in host else f"http://{host}:{self._settings.port}"

    def _processes(self) -> list[dict[str, Any]]:
        """Status of the processes, from supervisord; empty before it listens."""
        try:
            with self._control() as proxy:
                found: Any = proxy.supervisor.getAllProcessInfo()
                return list(found)
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return []

    def _start_waiting(self) -> None:
        """Start the programs that wait for the API."""
        with self._control() as proxy:
            for group in sorted({program.group for program in self._programs if program.waits}):
                proxy.supervisor.startProcessGroup(group, False)

    def _control(self) -> xmlrpc.client.ServerProxy:
        transport = SupervisorTransport(serverurl=f"unix://{configuration.control_socket(self._settings)}")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport)

    def _announce(self, seconds: float) -> None:
        home = self._settings.home_path
        where = f"home {home}, logs in {home / 'logs'}"
        say(f"Mimeo is ready at {self.url} after {seconds:.1f} s ({where}); Ctrl-C stops it.")
        say(f"The studio, for a browser: {self.url}/")
        if self._settings.auth == "required":
            say(f"Requests need an API key: MIMEO_HOME={shlex.quote(str(home))} mimeo keys create --owner NAME")

    def _watch(self) -> str | None:
        """Serve until a stop is requested. Returns the problem, or None."""
        while not self._stop_requests:
            if self._supervisor_is_gone():
                problem = (
                    f"the process supervisor ended unexpectedly (status {self._supervisor_status}); stopping the rest"
                )
                say(f"mimeo: {problem}", sys.stderr)
                return problem
            self._pause(0.5)
        say("Stopping the workers, then the API, then Valkey …")
        return None

    def _stop(self) -> None:
        """Stop in order. After a second stop signal or a time-out, kill the rest."""
        patience = sum({program.group: program.stop_s + 2 for program in self._programs}.values()) + 10
        deadline = time.monotonic() + patience
        requests = self._stop_requests
        if not self._supervisor_is_gone():
            os.kill(self._supervisor, signal.SIGTERM)
        hurried = False
        while not self._supervisor_is_gone() and time.monotonic() < deadline and not hurried:
            self._pause(0.1)
            hurried = self._stop_requests > max(requests, 1)
        # An orderly stop leaves no process. If supervisord died, its children have received the parent-death signal.
        end_descendants(0.0 if hurried else self._settings.stop_grace_s, terminate=self._supervisor_status == 0)

    def _log_tails(self) -> str:
        """The last lines of the API's log and of supervisord's own output."""
        tails = []
        for name in ("api", "supervisord-output"):
            path = configuration.log_path(self._settings, name)
            lines = _tail(path)
            if lines:
                tails.append(f"Last lines of {path}:\n" + "\n".join(f"  {line}" for line in lines))
        return "\n".join(tails) or f"See the logs in {self._settings.home_path / 'logs'}."


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line for the user. It is lost when the output is a file on a full disk or a closed terminal."""
    with contextlib.suppress(OSError):
        print(text, file=stream or sys.stdout, flush=True)


def failed_checks(url: str) -> dict[str, str] | None:
    """The failed checks of /readyz of the API at `url`, by name, with their details; None when it does not answer."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310  our own http address
            return {} if answer.status == http.HTTPStatus.OK else None
    except urllib.error.HTTPError as error:
        with error:
            return _failed(error.read())
    except (OSError, http.client.HTTPException):
        return None


def _failed(body: bytes) -> dict[str, str] | None:
    try:
        checks = json.loads(body)["checks"]
        return {check["name"]: str(check["detail"]) for check in checks if not check["ok"]}
    except (ValueError, KeyError, TypeError):  # an answer of another program, or a problem
        return None


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-TAIL_LINES:]
    except FileNotFoundError:
        return []
