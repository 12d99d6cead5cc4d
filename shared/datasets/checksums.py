"""Checksums of downloads without a published one: that of the first download is recorded, later ones must equal it."""

import fcntl
import json
import os
from pathlib import Path

from shared.datasets.base import DatasetInfo

FILE = "checksums.json"


def recorded(downloads: Path) -> dict[str, str]:
    """Recorded checksums, `sha256:…`, by the download's path in the downloads folder."""
    try:
        found: dict[str, str] = json.loads((downloads / FILE).read_text())
    except FileNotFoundError:
        return {}
    return found


def record(downloads: Path, path: str, checksum: str) -> None:
    """Record the checksum of a first download. The file is replaced atomically under a lock."""
    downloads.mkdir(parents=True, exist_ok=True)
    with (downloads / f"{FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        temporary = downloads / f".{FILE}.tmp"
        with temporary.open("w") as file:
            json.dump(recorded(downloads) | {path: checksum}, file, indent=2, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(downloads / FILE)


def checksums_of(info: DatasetInfo, downloads: Path) -> dict[str, str]:
    """Checksums of a dataset's downloads by path: those of the registry, else the recorded ones."""
    known = recorded(downloads)
    found = {source.path: source.checksum or known.get(source.path) for source in info.sources}
    return {path: checksum for path, checksum in found.items() if checksum}
