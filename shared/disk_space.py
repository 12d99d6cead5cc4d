"""The disks that Mimeo writes to: their free space, and the errors of a full one."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from shared.atomic_files import DISK_FULL
from shared.settings import Settings

# SQLITE_FULL; a page of the log's index or of the file that cannot be added; a write that fails, as over a quota.
_SQLITE_FULL = frozenset({13, 10 | 19 << 8, 10 | 3 << 8})
_POSTGRESQL_FULL = "53100"
_PROBE_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Disk:
    """The file system of a folder. free, total: bytes; free is what this user may use."""

    folder: Path
    free: int
    total: int


def is_full(error: BaseException | None) -> bool:
    """Whether an error of the operating system or of a database means a full disk or an exhausted quota."""
    if isinstance(error, OSError):
        return error.errno in DISK_FULL
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code in _SQLITE_FULL or getattr(error.orig, "sqlstate", None) == _POSTGRESQL_FULL


def storage_folder(settings: Settings) -> Path | None:
    """Folder of the file store; None where it is remote."""
    url = settings.resolved_storage_url
    if "://" in url and not url.startswith("file://"):
        return None
    return Path(url.removeprefix("file://"))


def folders(settings: Settings) -> list[Path]:
    """The existing local folders that Mimeo writes to: scratch folders, file store and database."""
    found = [settings.runs_path, storage_folder(settings)]
    database = make_url(settings.resolved_database_url)
    if database.get_backend_name() == "sqlite" and database.database:
        found.append(Path(database.database).parent)
    return [folder for folder in found if folder is not None and folder.is_dir()]


def fullest(settings: Settings) -> Disk | None:
    """The disk with the least free space; None where no folder is local. Raises OSError."""
    disks = [disk_of(folder) for folder in folders(settings)]
    return min(disks, key=lambda disk: disk.free, default=None)


def disk_of(folder: Path) -> Disk:
    """The disk of a folder. Raises OSError."""
    usage = shutil.disk_usage(folder)
    return Disk(folder=folder, free=usage.free, total=usage.total)


def shortage(settings: Settings, needed: int = 0, *, share: float = 1.0) -> str | None:
    """The problem if a disk has less free space than `MIMEO_MIN_FREE_BYTES` beside `needed` bytes, else None.

    share: part of `MIMEO_MIN_FREE_BYTES` that is required. Without that setting nothing is required.
    """
    try:
        disk = fullest(settings)
    except OSError:  # reported by the check of the store or of the database
        return None
    least = round(share * settings.min_free_bytes)
    if disk is None or least == 0 or disk.free >= needed + least:
        return None
    free = f"The disk of {disk.folder} has {size(disk.free)} free"
    if needed:
        return f"{free}. This needs about {size(needed)}, and {size(least)} (MIMEO_MIN_FREE_BYTES) must stay free."
    return f"{free}; {size(least)} (MIMEO_MIN_FREE_BYTES) must be free."


def write_problem(settings: Settings) -> str | None:
    """One sentence if a small file cannot be written to one of the folders, for example over a quota, else None."""
    for folder in folders(settings):
        try:
            with tempfile.TemporaryFile(dir=folder) as probe:
                probe.write(bytes(_PROBE_BYTES))
                probe.flush()
        except OSError as error:
            reason = "the disk is full" if is_full(error) else (error.strerror or str(error)).lower()
            return f"A file cannot be written to {folder}: {reason}."
    return None


def size(count: int) -> str:
    """Bytes for people, in binary units."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:,.1f} {unit}"
