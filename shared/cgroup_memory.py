"""The memory limit of this process's control group, which is that of its container."""

import os
from dataclasses import dataclass
from pathlib import Path

_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """A limit in bytes, and the file that has it."""

    size: int
    file: Path


def physical() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def limit() -> MemoryLimit | None:
    """The limit; None where it is not below the machine's memory."""
    found = [
        MemoryLimit(size=int(text), file=file)
        for file in _FILES
        if file.exists() and (text := file.read_text().strip()).isdigit()
    ]
    lowest = min(found, key=lambda each: each.size, default=None)
    return lowest if lowest is not None and lowest.size < physical() else None
