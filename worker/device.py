"""The device and threads of a process, and the versions that its results depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from shared.errors import SpecError

# These models are small: beyond this many threads a step spends its time handing work out.
_MOST_THREADS = 16


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where torch sees one. Raises SpecError for a GPU that is not there."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SpecError.at("/device", f"torch sees no GPU on this machine, so `{wanted}` cannot be used; try `cpu`")
    return torch.device("cuda", 0)


def choose_threads(wanted: int | None) -> int:
    """Threads for torch: as asked, else as OMP_NUM_THREADS says, else the cores this process or container may use."""
    if wanted is not None:
        return wanted
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # of nested levels, the outermost
    if said.isdecimal() and int(said) > 0:
        return int(said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_cores(), _MOST_THREADS))


def versions(where: torch.device) -> dict[str, str]:
    """What else decides the last bit of what is computed there."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "safetensors": version("safetensors")}
    return found | ({"gpu": torch.cuda.get_device_name(where)} if where.type == "cuda" else {})


def _container_cores() -> int:
    """Whole cores of the cgroup's quota; many where there is none."""
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if not quota_file.is_file():
        return _MOST_THREADS
    quota, period = quota_file.read_text().split()
    return _MOST_THREADS if quota == "max" else max(1, round(int(quota) / int(period)))
