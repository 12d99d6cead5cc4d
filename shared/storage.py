"""Storage of checkpoints, samples, outputs and uploads, in a local folder by default or at any fsspec URL.

A key is a relative path with forward slashes. An existing file is complete: a local file is written under
another name, synced and renamed, and an object store shows an object only after its upload. A tree is complete when
its `last` file exists.

An unavailable store always raises OSError, whatever its library raises. It is never reported as a missing file, nor
are a missing bucket and credentials that the store refuses.
"""

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from pathlib import Path, PurePosixPath
from typing import IO, Concatenate, ParamSpec, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from shared.atomic_files import (
    TEMPORARY_PREFIX,
    link_or_copy,
    make_folder_synced,
    replace_with,
    sync,
    write_pieces_synced,
    write_synced,
)
from shared.errors import NotFound
from shared.failpoints import failpoint
from shared.storage_errors import BucketMissing, StorageDenied, StorageUnavailable, meaning_of
from shared.storage_urls import filesystem_at

__all__ = ["BLOCK_BYTES", "BucketMissing", "Storage", "StorageDenied", "StorageUnavailable"]

BLOCK_BYTES = 4 << 20  # of a remote file in memory
_P = ParamSpec("_P")
_R = TypeVar("_R")


def _raises_unavailable(method: Callable[Concatenate["Storage", _P], _R]) -> Callable[Concatenate["Storage", _P], _R]:
    """Decorates the methods of Storage that access the store: errors of an outage become StorageUnavailable."""

    @wraps(method)
    def wrapped(self: "Storage", /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        with self.outages_raised():
            return method(self, *args, **kwargs)

    return wrapped


class Storage:
    """The store under one fsspec URL. Safe to share between threads.

    Every method may raise OSError: StorageUnavailable when a later try may succeed.
    """

    def __init__(self, filesystem: fsspec.AbstractFileSystem, root: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._is_local = isinstance(filesystem, LocalFileSystem)

    @classmethod
    def open_url(cls, url: str) -> "Storage":
        """The store at a URL (`file:///srv/mimeo`, `s3://bucket/prefix`). Raises SetupError for an unknown scheme."""
        return cls(*filesystem_at(url))

    @contextmanager
    def outages_raised(self) -> Iterator[None]:
        """Errors of an outage within the block are raised as StorageUnavailable."""
        try:
            yield
        except StorageUnavailable:
            raise
        except Exception as error:
            unavailable = None if self._is_local else meaning_of(error, self._bucket)
            if unavailable is None:
                raise
            raise unavailable from error

    @property
    def _bucket(self) -> str:
        return self._root.partition("/")[0]

    def _confirm_absence(self) -> None:
        """Raise BucketMissing or StorageDenied where a file is absent only because the bucket cannot be read.

        A HEAD request does not tell the two apart, so this lists one name.
        """
        if not self._is_local and hasattr(self._filesystem, "call_s3"):
            with self.outages_raised():
                self._filesystem.call_s3("list_objects_v2", Bucket=self._bucket, MaxKeys=1)

    # --- writing ------------------------------------------------------------------------------------------------

    @_raises_unavailable
    def put_file(self, local: Path, key: str) -> None:
        """Store a finished file, durably. Do not change it afterwards: a local store hard-links it where possible."""
        target = self._path(key)
        if not self._is_local:
            self._filesystem.put_file(str(local), target)
            return
        sync(local)
        self._replace(Path(target), lambda temporary: link_or_copy(local, temporary))

    @_raises_unavailable
    def put_bytes(self, data: bytes, key: str) -> None:
        """Store bytes, durably."""
        target = self._path(key)
        if not self._is_local:
            self._filesystem.pipe_file(target, data)
            return
        self._replace(Path(target), lambda temporary: write_synced(temporary, data))

    @_raises_unavailable
    def put_pieces(self, pieces: Iterable[bytes], key: str) -> None:
        """Store the pieces as one file, durably. After an error a remote store may hold a part of it under the key."""
        target = self._path(key)
        if not self._is_local:
            with self._filesystem.open(target, "wb") as stream:
                stream.writelines(pieces)
            return
        self._replace(Path(target), lambda temporary: write_pieces_synced(temporary, pieces))

    def put_tree(
        self, local_dir: Path, prefix: str, *, names: Collection[str] | None = None, last: str = "manifest.json"
    ) -> None:
        """Store every file under a folder; `last` is stored last, so that its presence means that the tree is complete.

        names: the expected files; None: all files of the folder. Raises FileNotFoundError.
        """
        if names is None:
            names = sorted(str(path.relative_to(local_dir)) for path in local_dir.rglob("*") if path.is_file())
        for name in [name for name in names if name != last] + [name for name in names if name == last]:
            self.put_file(local_dir / name, f"{prefix}/{PurePosixPath(name)}")
            failpoint("storage.tree_file_put")

    # --- reading ------------------------------------------------------------------------------------------------

    @_raises_unavailable
    def exists(self, key: str) -> bool:
        """Whether a file is stored under the key."""
        try:  # not `isfile`, which returns False for an unavailable store
            return bool(self._filesystem.info(self._path(key))["type"] == "file")
        except (FileNotFoundError, NotADirectoryError):
            self._confirm_absence()
            return False

    @_raises_unavailable
    def open(self, key: str) -> IO[bytes]:
        """A stored file, for reading. Raises NotFound."""
        try:
            options = {} if self._is_local else {"block_size": BLOCK_BYTES}
            stream: IO[bytes] = self._filesystem.open(self._path(key), "rb", **options)
        except FileNotFoundError:
            self._confirm_absence()
            raise NotFound(f"The stored file {key} does not exist.") from None
        return stream

    @_raises_unavailable
    def read_bytes(self, key: str) -> bytes:
        """All of a stored file. Raises NotFound."""
        with self.open(key) as stream:
            return stream.read()

    def pieces(self, key: str, start: int, length: int) -> Iterator[bytes]:
        """A part of a stored file, in pieces of at most BLOCK_BYTES. Nothing else is read. Raises NotFound."""
        path, end = self._path(key), start + length
        for begin in range(start, end, BLOCK_BYTES):
            with self.outages_raised():
                try:
                    piece: bytes = self._filesystem.cat_file(path, start=begin, end=min(end, begin + BLOCK_BYTES))
                except FileNotFoundError:
                    self._confirm_absence()
                    raise NotFound(f"The stored file {key} does not exist.") from None
            yield piece

    def local_path(self, key: str) -> Path | None:
        """Path of a stored file on this machine, or None for a remote store."""
        return Path(self._path(key)) if self._is_local else None

    @_raises_unavailable
    def get_file(self, key: str, local: Path) -> None:
        """Copy a stored file to `local`, as a hard link where possible: do not change it. Raises NotFound."""
        local.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self._is_local:
                link_or_copy(Path(self._path(key)), local)
            else:
                self._filesystem.get_file(self._path(key), str(local))
        except FileNotFoundError:
            self._confirm_absence()
            raise NotFound(f"The stored file {key} does not exist.") from None

    def get_tree(self, prefix: str, local_dir: Path) -> None:
        """Copy every file under a prefix to `local_dir`. Raises NotFound when there is none."""
        names = list(self.list_names(prefix))
        if not names:
            raise NotFound(f"The stored folder {prefix} does not exist.")
        for name in names:
            self.get_file(f"{prefix}/{name}", local_dir / name)

    def list_names(self, prefix: str, *, unfinished: bool = False) -> Iterator[str]:
        """Names of the files under a prefix, relative to it, sorted. unfinished: also those still being written."""
        base = self._path(prefix)
        with self.outages_raised():
            self._filesystem.invalidate_cache(base)
            found = sorted(self._filesystem.find(base))
        if not found:
            self._confirm_absence()
        for path in found:
            name = str(path)[len(base) :].lstrip("/")
            if name and (unfinished or not PurePosixPath(name).name.startswith(TEMPORARY_PREFIX)):
                yield name

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Names of the folders directly under a prefix; empty when the prefix does not exist."""
        base = self._path(prefix)
        if self._is_local:  # one entry at a time, to bound the memory
            with os.scandir(base) if Path(base).is_dir() else nullcontext(()) as entries:
                yield from (entry.name for entry in entries if entry.is_dir())
            return
        listed: list[dict[str, str]] = []
        with self.outages_raised():
            self._filesystem.invalidate_cache(base)
            try:
                listed = self._filesystem.ls(base, detail=True)
            except FileNotFoundError:
                self._confirm_absence()
        yield from (PurePosixPath(entry["name"]).name for entry in listed if entry["type"] == "directory")

    @_raises_unavailable
    def age_s(self, key: str) -> float:
        """Seconds since a file was stored. Raises NotFound."""
        path = self._path(key)
        try:
            # The time of a local file is that of its link (ctime); a hard link keeps the mtime of the content.
            stored = Path(path).stat().st_ctime if self._is_local else self._filesystem.modified(path).timestamp()
        except FileNotFoundError:
            self._confirm_absence()
            raise NotFound(f"The stored file {key} does not exist.") from None
        return float(time.time() - stored)

    # --- removing -----------------------------------------------------------------------------------------------

    @_raises_unavailable
    def delete_file(self, key: str) -> None:
        """Remove a file, if it exists."""
        if self._is_local:
            Path(self._path(key)).unlink(missing_ok=True)
            return
        try:
            self._filesystem.rm_file(self._path(key))
        except FileNotFoundError:
            self._confirm_absence()

    @_raises_unavailable
    def delete_tree(self, prefix: str) -> None:
        """Remove everything under a prefix, or the file of that key, if it exists."""
        target = self._path(prefix)
        if self._is_local:
            if Path(target).is_file():
                Path(target).unlink(missing_ok=True)
            shutil.rmtree(target, ignore_errors=True)
            return
        self._filesystem.invalidate_cache(target)
        try:
            self._filesystem.rm(target, recursive=True)
        except FileNotFoundError:
            self._confirm_absence()

    # --- the local folder ---------------------------------------------------------------------------------------

    def _path(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if not parts or key.startswith("/") or ".." in parts:
            raise ValueError(f"{key!r} is not a storage key")
        return f"{self._root}/{'/'.join(parts)}"

    @staticmethod
    def _replace(target: Path, write: Callable[[Path], object]) -> None:
        make_folder_synced(target.parent)
        replace_with(target, write)
