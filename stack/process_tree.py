"""Finds and ends the remaining descendants of this process."""

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable

import psutil

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> None:
    """Adopt orphaned descendants, in place of init, so that all can be ended. Linux only."""
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
    """All live descendants of this process."""
    reap()
    return [process for process in psutil.Process().children(recursive=True) if _is_alive(process)]


def end_descendants(grace_s: float, *, terminate: bool) -> list[int]:
    """Wait until every descendant of this process has ended, and kill the rest after `grace_s`.

    terminate: send SIGTERM first. Some programs abort at a second one, so send it once.
    Returns the killed pids.
    """
    deadline = time.monotonic() + grace_s
    if terminate:
        _for_each(descendants(), psutil.Process.terminate)
    while (left := descendants()) and (left_s := deadline - time.monotonic()) > 0:
        psutil.wait_procs(left, timeout=min(left_s, 0.1))
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
