"""The device and threads of a process, and the versions that its results depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from shared.errors import SpecError
from worker import host


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where torch finds one. Raises SpecError for a missing GPU."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SpecError.at("/device", f"torch finds no GPU on this machine, so `{wanted}` cannot be used; try `cpu`")
    return torch.device("cuda", 0)


def choose_threads(wanted: int | None) -> int:
    """Threads for torch: as requested, else OMP_NUM_THREADS, else the cores that the process or container may use."""
    return wanted or host.configured_threads() or host.cores()


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
