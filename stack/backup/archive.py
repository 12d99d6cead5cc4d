"""A backup on disk: a folder, or one file (ZIP, whose directory is at its end). It appears under its name complete."""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Protocol
from uuid import uuid4

from shared.atomic_files import TEMPORARY_PREFIX, make_folder_synced, sync
from stack.backup.contents import MANIFEST, BackupError

PIECE = 1 << 20
_PACKED = ".jsonl"  # text is compressed; weights and pictures are not worth it


class Writer(Protocol):
    """Writes the parts of a backup, one at a time."""

    @contextmanager
    def part(self, name: str) -> Iterator[IO[bytes]]:
        """A new part, for writing."""


class Reader(Protocol):
    """Reads the parts of a backup."""

    def part(self, name: str) -> IO[bytes]:
        """A part, for reading. Raises BackupError where the backup lacks it."""


class _FolderWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def part(self, name: str) -> Iterator[IO[bytes]]:
        path = self._folder / name
        make_folder_synced(path.parent)
        with path.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())


class _FileWriter:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    @contextmanager
    def part(self, name: str) -> Iterator[IO[bytes]]:
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED if name.endswith(_PACKED) else zipfile.ZIP_STORED
        with self._archive.open(info, "w", force_zip64=True) as stream:
            yield stream


@contextmanager
def writing(target: Path) -> Iterator[Writer]:
    """A writer of a new backup, which gets its name at the end of the block. After an error nothing is left.

    A name that ends with `.zip` becomes one file, any other a folder. Raises BackupError where the target exists.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100  a link to the target is not followed
    if target.exists() or target.is_symlink():
        raise BackupError(f"{target} exists; give the backup a new name.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY_PREFIX}{target.name}-{uuid4().hex[:8]}")
    try:
        if target.suffix == ".zip":
            with zipfile.ZipFile(_private(temporary), "x", allowZip64=True) as archive:
                yield _FileWriter(archive)
            sync(temporary)
        else:
            temporary.mkdir(mode=0o700)
            yield _FolderWriter(temporary)
            sync(temporary)
        if target.exists():
            raise BackupError(f"{target} was made meanwhile; give the backup a new name.")
        temporary.rename(target)
        sync(target.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _private(path: Path) -> Path:
    """The same path. Files that this process makes from here on are readable for this user only."""
    os.umask(0o077)
    return path


class _FolderReader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def part(self, name: str) -> IO[bytes]:
        try:
            return (self._folder / _checked(name)).open("rb")
        except OSError as error:
            raise BackupError(f"The backup lacks {name} ({error.strerror}).") from error


class _FileReader:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def part(self, name: str) -> IO[bytes]:
        try:
            return self._archive.open(name)
        except (KeyError, zipfile.BadZipFile) as error:
            raise BackupError(f"The backup lacks {name}.") from error


@contextmanager
def reading(source: Path) -> Iterator[Reader]:
    """A reader of a backup. Raises BackupError for a path that is none, or one that was cut off."""
    if source.is_dir():
        if not (source / MANIFEST).is_file():
            raise BackupError(f"{source} has no {MANIFEST}: it is no backup, or one that was cut off.")
        yield _FolderReader(source)
        return
    if not source.exists():
        raise BackupError(f"{source} does not exist.")
    try:
        archive = zipfile.ZipFile(source)
    except zipfile.BadZipFile as error:
        raise BackupError(f"{source} is no backup, or one that was cut off.") from error
    with archive:
        yield _FileReader(archive)


def pieces(stream: IO[bytes], name: str) -> Iterator[bytes]:
    """The content of a part. Raises BackupError where it is damaged."""
    try:
        while piece := stream.read(PIECE):
            yield piece
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise BackupError(f"{name} of the backup is damaged.") from error


def digest(reader: Reader, name: str) -> tuple[str, int]:
    """SHA-256 and size of a part. Raises BackupError."""
    found, size = hashlib.sha256(), 0
    with reader.part(name) as stream:
        for piece in pieces(stream, name):
            found.update(piece)
            size += len(piece)
    return found.hexdigest(), size


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BackupError(f"{name!r} is not a name within a backup.")
    return path
