"""The memory that a run could use, which a failure reports when it was too little."""

import resource
from pathlib import Path

import torch

_STATUS, _MACHINE, _CONTAINER = Path("/proc/self/status"), Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")


class AvailableMemory:
    """Measured from the state of the process when this object is made: interpreter and torch, without a run."""

    def __init__(self) -> None:
        self._idle = _kilobytes(_STATUS).get("VmRSS", 0)

    def measure(self, error: BaseException) -> int | None:
        """Bytes that a run in this process can use in all, after the error by which it ran out of memory.

        On a GPU what torch has reserved and what is free; elsewhere what the process has beyond its idle state, and
        what machine, container and limits of the process leave. None where the system does not say.
        """
        try:
            return self._measure(error)
        except (OSError, MemoryError, RuntimeError):  # there may be no memory for this either
            return None

    def _measure(self, error: BaseException) -> int | None:
        if isinstance(error, torch.OutOfMemoryError) and torch.cuda.is_initialized():
            return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
        process, machine = _kilobytes(_STATUS), _kilobytes(_MACHINE)
        if "VmRSS" not in process or "MemAvailable" not in machine:
            return None
        used = process["VmRSS"]
        totals = [used + machine["MemAvailable"], *_container_limit()]
        for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            most, _ = resource.getrlimit(limit)
            if most != resource.RLIM_INFINITY:
                totals.append(used + most - process[name])
        return max(0, min(totals) - self._idle)


def _kilobytes(path: Path) -> dict[str, int]:
    """Lines `NAME: NUMBER kB` of a file, in bytes; empty without the file."""
    if not path.is_file():
        return {}
    lines = [line.split() for line in path.read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if len(words) == 3 and words[2] == "kB"}


def _container_limit() -> list[int]:
    text = _CONTAINER.read_text().strip() if _CONTAINER.is_file() else "max"
    return [int(text)] if text.isdigit() else []
