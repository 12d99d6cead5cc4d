"""Files that are complete or absent after a crash: write beside the target, fsync, rename, fsync the folder."""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from uuid import uuid4

from shared.failpoints import failpoint

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})  # `errno` of an OSError
TEMPORARY_PREFIX = ".tmp-"  # part of the name of an unfinished file or folder


def replace_with(target: Path, write: Callable[[Path], object]) -> None:
    """Create or replace `target` with the file that `write` makes at the path it is given.

    `write` has to fsync the file; `write_synced` and `sync` do. The parent folder has to exist. The old file stays when
    `write` raises. Raises OSError, and the errors of `write`.
    """
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{uuid4().hex}")
    try:
        write(temporary)
        failpoint("file.written")
        temporary.replace(target)
        failpoint("file.renamed")
    finally:
        temporary.unlink(missing_ok=True)  # a rename between two links of one file keeps both
    sync(target.parent)


def replace_bytes(target: Path, data: bytes) -> None:
    """Create or replace `target` with these bytes. Raises OSError; the old file then stays."""
    replace_with(target, lambda temporary: write_synced(temporary, data))


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and fsync it. A crash before the return may leave a part of it."""
    write_pieces_synced(path, [data])


def write_pieces_synced(path: Path, pieces: Iterable[bytes]) -> None:
    """The same, one piece after another. An error of the iterator leaves a part of the file too."""
    with path.open("wb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())


def sync(path: Path) -> None:
    """Fsync a file, or the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder_synced(folder: Path) -> None:
    """Make a folder and its parents; each entry is durable before files are written into it."""
    if folder.is_dir():
        return
    make_folder_synced(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a synced copy where no hard link is possible. Raises OSError."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
        sync(target)
