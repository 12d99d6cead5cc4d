"""The device and threads of a process, and the versions that its results depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from shared.errors import SpecError

# These models are small: with more threads, the distribution of work takes most of a step.
_MOST_THREADS = 16


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where torch finds one. Raises SpecError for a missing GPU."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SpecError.at("/device", f"torch finds no GPU on this machine, so `{wanted}` cannot be used; try `cpu`")
    return torch.device("cuda", 0)


def choose_threads(wanted: int | None) -> int:
    """Threads for torch: as requested, else OMP_NUM_THREADS, else the cores that the process or container may use."""
    if wanted is not None:
        return wanted
    configured = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # of nested levels, the outermost
    if configured.isdecimal() and int(configured) > 0:
        return int(configured)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_cores(), _MOST_THREADS))


def versions(where: torch.device) -> dict[str, str]:
    """Versions and hardware on which the last bit of results on this device depends."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "safetensors": version("safetensors")}
    return found | ({"gpu": torch.cuda.get_device_name(where)} if where.type == "cuda" else {})


def memory(where: torch.device) -> tuple[int | None, int | None]:
    """Bytes of the device's memory that this process uses, and all of it; None where they cannot be read.

    On a GPU what torch has reserved, elsewhere the resident memory, shared pages included.
    """
    if where.type == "cuda":
        return torch.cuda.memory_reserved(where), torch.cuda.get_device_properties(where).total_memory
    page, statm = os.sysconf("SC_PAGE_SIZE"), Path("/proc/self/statm")
    used = int(statm.read_text().split()[1]) * page if statm.is_file() else None
    return used, page * os.sysconf("SC_PHYS_PAGES")


def _container_cores() -> int:
    """Whole cores of the cgroup's quota; `_MOST_THREADS` without a quota."""
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if not quota_file.is_file():
        return _MOST_THREADS
    quota, period = quota_file.read_text().split()
    return _MOST_THREADS if quota == "max" else max(1, round(int(quota) / int(period)))
