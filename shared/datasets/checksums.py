"""Checksums of downloads without a published one: that of the first download is recorded, later ones must equal it."""

import fcntl
import json
from pathlib import Path

from shared.atomic_files import replace_bytes
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
        known = recorded(downloads) | {path: checksum}
        replace_bytes(downloads / FILE, json.dumps(known, indent=2, sort_keys=True).encode())


def checksums_of(info: DatasetInfo, downloads: Path) -> dict[str, str]:
    """Checksums of a dataset's downloads by path: those of the registry, else the recorded ones."""
    known = recorded(downloads)
    found = {source.path: source.checksum or known.get(source.path) for source in info.sources}
    return {path: checksum for path, checksum in found.items() if checksum}
