"""The machine and the control group of this process: which workers share its cores, and how many cores those are."""

import os
import socket
from pathlib import Path

# These models are small: with more threads, the distribution of work takes most of a step.
_MOST_THREADS = 16
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def boot_id() -> str:
    """The kernel's id of its start, which all containers of a machine share; elsewhere than on Linux the host name."""
    return _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else socket.gethostname()


def group_id(limit_file: Path) -> str:
    """The control group with a file of limits, among all groups of all machines."""
    return f"{boot_id()}/{limit_file.parent.stat().st_ino}"


def machine_id() -> str:
    """The same for all processes that share cores: those of a machine, or of a control group with a quota of them."""
    return boot_id() if _quota() is None else group_id(_CPU_QUOTA)


def cores() -> int:
    """Cores that the process or container may use, at most 16."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, _quota() or _MOST_THREADS, _MOST_THREADS))


def configured_threads() -> int | None:
    """The value of OMP_NUM_THREADS, of nested levels the outermost; None where it has no number."""
    configured = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(configured) if configured.isdecimal() and int(configured) > 0 else None


def threads(workers: int) -> int:
    """Threads of a trainer beside others. workers: training workers that share these cores, this one included."""
    return configured_threads() or max(1, cores() // workers)


def _quota() -> int | None:
    """Whole cores of the control group's quota; None without a quota."""
    if not _CPU_QUOTA.is_file():
        return None
    quota, period = _CPU_QUOTA.read_text().split()
    return None if quota == "max" else max(1, round(int(quota) / int(period)))
