"""Finds and ends the processes that are left below this one."""

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable

import psutil

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Orphans among our descendants become our children instead of init's, so that none escapes. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> dict[int, int]:
    """Collect every child that has ended: its pid and its exit status (negative: the signal that killed it)."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)


def descendants() -> list[psutil.Process]:
    """All descendants of this process that have not ended."""
    reap()
    return [process for process in psutil.Process().children(recursive=True) if _is_alive(process)]


def end_descendants(grace_s: float, *, ask: bool) -> list[int]:
    """Wait until every descendant of this process has ended, and kill what remains after `grace_s`.

    ask: send SIGTERM first; not to be done twice, since a second one makes some programs drop what they are doing.
    Returns the killed pids.
    """
    deadline = time.monotonic() + grace_s
    if ask:
        _for_each(descendants(), psutil.Process.terminate)
    while (left := descendants()) and (rest_s := deadline - time.monotonic()) > 0:
        psutil.wait_procs(left, timeout=min(rest_s, 0.1))
    killed: list[int] = []
    while left := descendants():  # a killed process may have forked meanwhile
        killed += [process.pid for process in left]
        _for_each(left, psutil.Process.kill)
        psutil.wait_procs(left, timeout=0.1)
    return killed


def _for_each(processes: list[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            send(process)


def _is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False
