"""Whether the kernel has killed for want of memory: the one cause of a SIGKILL that another attempt cannot cure."""

from pathlib import Path

_COUNTERS = (
    Path("/sys/fs/cgroup/memory.events"),  # cgroup 2: this container
    Path("/sys/fs/cgroup/memory/memory.oom_control"),  # cgroup 1
    Path("/proc/vmstat"),  # the whole machine
)


def oom_kills() -> int:
    """Kills for want of memory so far, as far as this process can see; compare two readings."""
    return sum(_count(path) for path in _COUNTERS)


def _count(path: Path) -> int:
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:  # not this kind of system
        return 0
    return sum(int(parts[1]) for parts in words if len(parts) == 2 and parts[0] == "oom_kill")
