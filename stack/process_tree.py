"""Finding and ending what is left of a process tree, from /proc."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

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


def descendants(root: int) -> list[int]:
    """Pids of all live descendants of `root`; none where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):  # it ended while we looked
            # The command name is in parentheses and may hold anything; state and parent follow it.
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(entry.parent.name))
    found: list[int] = []
    pending = [root]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def end_descendants(grace_s: float, *, ask: bool) -> list[int]:
    """Wait until every descendant of this process has ended, and kill what remains after `grace_s`.

    ask: send SIGTERM first; not to be done twice, since a second one makes some programs drop what they are doing.
    Returns the killed pids.
    """
    if ask:
        _signal_all(descendants(os.getpid()), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        reap()
        if not descendants(os.getpid()):
            return []
        time.sleep(0.05)
    killed: list[int] = []
    while left := descendants(os.getpid()):  # a killed process may have forked meanwhile
        killed += left
        _signal_all(left, signal.SIGKILL)
        time.sleep(0.02)
        reap()
    return killed


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
