"""Checks before the start of the stack. Each failure is one line with a remedy."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from shared.atomic_files import DISK_FULL
from shared.errors import SetupError
from shared.settings import Settings

FOLDERS = ("run", "logs", "runs", "storage", "datasets")
PRIVATE = frozenset({*FOLDERS, "classifiers", *(f"mimeo.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))})
HANDOVER_S = 45.0  # time for the stop of a stack after its `mimeo up` was killed


def prepare_home(settings: Settings) -> None:
    """Create the folders of the home, for this user only, and verify that a file can be written. Raises SetupError."""
    home = settings.home_path
    try:
        for folder in FOLDERS:
            (home / folder).mkdir(parents=True, exist_ok=True)
        _make_private(home)
        probe = home / "run" / f".write-{os.getpid()}"
        probe.write_bytes(b"mimeo")
        probe.unlink()
    except OSError as error:
        remedy = "free some space" if error.errno in DISK_FULL else "set MIMEO_HOME to a folder you can write to"
        raise SetupError(f"cannot write to the home {home} ({_reason(error)}): {remedy}") from error
    _prepare_sockets(settings.redis_socket.parent)


def _make_private(home: Path) -> None:
    """Remove the access of other users, also from the home of an earlier version.

    A home that has other content keeps its own mode, because it may be a folder that others need.
    """
    found = [path for path in home.iterdir() if path.name in PRIVATE]
    if len(found) == len(list(home.iterdir())):
        found.append(home)
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # a file of a stack that is stopping
            status = path.lstat()
            if status.st_mode & 0o077 and status.st_uid == os.getuid() and not path.is_symlink():
                path.chmod(stat.S_IMODE(status.st_mode) & 0o700)


def _prepare_sockets(folder: Path) -> None:
    """Create the folder of the sockets, which is outside the home when the home's path is too long for a socket."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat(follow_symlinks=False)
    except OSError as error:
        raise SetupError(f"cannot create the folder {folder} for sockets ({_reason(error)})") from error
    if found.st_uid != os.getuid():
        raise SetupError(f"the folder {folder} for sockets belongs to another user: remove it or shorten MIMEO_HOME")
    folder.chmod(0o700)


def hold_lock(settings: Settings) -> int:
    """Lock the home for this stack. Returns the descriptor of the lock, which lasts until its last copy closes.

    Raises SetupError when another stack has the home. A stack whose `mimeo up` has ended is stopping; the call waits
    for it.
    """
    path = settings.home_path / "run" / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def is_stopping(error: BaseException) -> bool:
        return isinstance(error, BlockingIOError) and not _is_alive(_holder(descriptor))

    handover = Retrying(
        retry=retry_if_exception(is_stopping), stop=stop_after_delay(HANDOVER_S), wait=wait_fixed(0.1), reraise=True
    )
    try:
        handover(fcntl.flock, descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        raise SetupError(
            f"another stack (process {holder or 'unknown'}) runs in {settings.home_path}: "
            "stop it, or set MIMEO_HOME to another folder"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _holder(lock: int) -> str:
    """Pid in a lock file, written by the process that has the lock."""
    return os.pread(lock, 32, 0).decode(errors="replace").strip()


def _is_alive(pid: str) -> bool:
    """Whether a process runs. A process that has ended and that its parent has not reaped does not."""
    try:
        return bool(psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE)
    except (ValueError, psutil.NoSuchProcess):
        return False


def check_port(host: str, port: int) -> None:
    """Bind and release the API's address, as the API will. Raises SetupError when that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise SetupError(
            f"cannot listen on {host!r} ({error.strerror}): set MIMEO_HOST to an address of this machine"
        ) from error
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(1)
        except OSError as error:
            raise SetupError(_port_problem(host, port, error)) from error


def _port_problem(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is in use: stop the program that listens there, or set MIMEO_PORT to another port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user: set MIMEO_PORT to a port above 1023"
    return f"cannot listen on {host} port {port} ({_reason(error)}): set MIMEO_HOST and MIMEO_PORT"


def migrate(environment: Mapping[str, str]) -> None:
    """Upgrade the database to the newest revision. Raises SetupError with the last line of the migration's output."""
    done = subprocess.run(
        [sys.executable, "-m", "migrations", "upgrade"],
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        reason = lines[-1].removeprefix("mimeo: ") if lines else f"it ended with status {done.returncode}"
        raise SetupError(reason if done.returncode == 2 else f"the database could not be migrated: {reason}")


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
