"""Disks that fill up or become read-only: small file systems in memory, where this user may mount them."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_FILLER = "filler"


class Disk:
    """A small separate file system, mounted on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Use all free space."""
        with (self.folder / _FILLER).open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(1024))

    def free(self) -> None:
        """Undo `fill`."""
        (self.folder / _FILLER).unlink()

    def lock(self) -> bool:
        """Make it read-only. False: a file is open for writing at the moment."""
        return _mount("-o", "remount,ro", str(self.folder))

    def unlock(self) -> None:
        """Undo `lock`."""
        assert _mount("-o", "remount,rw", str(self.folder))


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Disk]:
    """A disk of this size on a folder, until the block ends. Skips the test if this user may not mount."""
    folder.mkdir(parents=True)
    if os.getuid() != 0 or not _mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)):
        pytest.skip("needs the right to mount a file system")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0
