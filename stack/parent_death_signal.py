"""Run a command that ends with its parent: `python -IS stack/parent_death_signal.py COMMAND ARG…`.

The kernel sends the command SIGTERM at any end of its parent, even a SIGKILL (prctl(2), PR_SET_PDEATHSIG). The
setting survives exec, so this program replaces itself with the command: it costs one short interpreter start and
adds no process. The command's children do not inherit the setting; the command ends them.

Only Linux has the call; elsewhere the command runs without it. Imports are minimal, because this runs before every
process.
"""

import os
import sys

PARENT_VARIABLE = "MIMEO_PARENT_PID"
PR_SET_PDEATHSIG = 1
SIGTERM = 15


def command(*arguments: str) -> list[str]:
    """The command line that runs `arguments` under this program. It skips site packages, for a start in 10 ms."""
    return [sys.executable, "-I", "-S", os.path.abspath(__file__), *arguments]  # noqa: PTH100  pathlib is slow to import


def set_parent_death_signal() -> None:
    """Request a SIGTERM from the kernel at the parent's death."""
    import ctypes  # noqa: PLC0415  imported on Linux only

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def main(arguments: list[str]) -> None:
    """Set the signal, then replace this process with the command. Exit status 1 if the parent has ended."""
    if not arguments:
        sys.exit("usage: parent_death_signal.py COMMAND ARG…")
    if sys.platform == "linux":
        set_parent_death_signal()
    expected = os.environ.get(PARENT_VARIABLE)
    if expected is not None and os.getppid() != int(expected):
        sys.exit(1)  # the parent ended before the call above, so no signal will be sent
    os.environ[PARENT_VARIABLE] = str(
        os.getpid()
    )  # exec keeps the pid, which the command's own children compare with theirs
    os.execvp(arguments[0], arguments)  # noqa: S606  without a shell


if __name__ == "__main__":
    main(sys.argv[1:])
