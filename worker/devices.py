"""The devices that this process sees, without torch: GPUs by NVIDIA's management library (NVML), else the memory.

docs/decisions/0034-placement.md describes the ids.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal, TypeVar

import pynvml
import structlog

from shared import cgroup_memory
from worker import host

log = structlog.get_logger(__name__)

MOST_AUTOMATIC = 8  # training workers of a GPU where their number is not set
_Read = TypeVar("_Read")


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device. id: the UUID of a GPU, else that of the memory that processes share. total_bytes: of its memory."""

    id: str
    type: Literal["cpu", "cuda"]
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What all processes use of a GPU now. utilization: share of the time in which it computes; None is not known."""

    free_bytes: int
    utilization: float | None


def visible() -> list[Device]:
    """The GPUs that CUDA_VISIBLE_DEVICES names, all without the variable; where there is none, the CPU device.

    An index in the variable is that of NVML, as with CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    return _gpus() or [_cpu()]


def usage(device: Device) -> Usage | None:
    """The use of a GPU; None for another device, or where it cannot be read."""

    def read() -> Usage:
        handle = pynvml.nvmlDeviceGetHandleByUUID(device.id)
        return Usage(free_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).free, utilization=_utilization(handle))

    return _ask(read) if device.type == "cuda" else None


def named(listed: str | None, uuids: Sequence[str]) -> list[str]:
    """Those of `uuids` that a value of CUDA_VISIBLE_DEVICES names, in its order; None names all.

    As with CUDA, the list ends at the first entry without a device, and an entry may be the start of one UUID.
    """
    if listed is None:
        return list(uuids)
    found: list[str] = []
    for entry in (each.strip() for each in listed.split(",")):
        if entry.isdecimal():
            matching = list(uuids[int(entry) : int(entry) + 1])
        else:
            matching = [uuid for uuid in uuids if entry and uuid.startswith(entry)]
        if len(matching) != 1:
            break
        found += matching
    return found


def _cpu() -> Device:
    limit = cgroup_memory.limit()
    where = host.group_id(limit.file) if limit else host.boot_id()
    return Device(id=f"cpu:{where}", type="cpu", total_bytes=limit.size if limit else cgroup_memory.physical())


def _gpus() -> list[Device]:
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    parts = [each.strip() for each in (listed or "").split(",") if each.strip().startswith("MIG-")]

    def read() -> list[Device]:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        found = {device.id: device for device in map(_gpu, handles)}
        found |= {part: _gpu(pynvml.nvmlDeviceGetHandleByUUID(part)) for part in parts}
        return [found[uuid] for uuid in named(listed, list(found))]

    return (_ask(read) or []) if _torch_uses_gpus() else []


def _gpu(handle: Any) -> Device:
    total = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    return Device(id=pynvml.nvmlDeviceGetUUID(handle), type="cuda", total_bytes=total)


def _torch_uses_gpus() -> bool:
    """Whether the installed torch is not a build for CPUs alone, as its version says."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _utilization(handle: Any) -> float | None:
    try:
        return float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except pynvml.NVMLError_NotSupported:
        return None


def _ask(read: Callable[[], _Read]) -> _Read | None:
    """What NVML says; None on a machine without it, and with a warning where it fails."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        return read()
    except pynvml.NVMLError as error:
        log.warning("NVML cannot be read", reason=str(error))
        return None
    finally:
        pynvml.nvmlShutdown()
