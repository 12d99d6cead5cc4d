"""Opens an uploaded zip. Its directory is bounded before it is parsed, and each entry is checked before it is read."""

import lzma
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from shared.errors import SpecError
from shared.image_uploads.limits import MAX_DIRECTORY_BYTES, MAX_FILE_BYTES, MAX_FILES, refused, shown

_END, _END_BYTES = b"PK\x05\x06", 22
_END_ZIP64 = b"PK\x06\x07"
_END_ZIP64_BYTES = 20
_ENTRY_BYTES = 46
_MAX_COMMENT = 65_535
_ENCRYPTED = 0x1 | 0x40
_DAMAGES = (
    BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zlib.error,
)


class Archive:
    """The files of a zip; folders are left out. Raises SpecError for an archive that is not accepted."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        _check_directory(file)
        with damage_refused("The archive"):
            file.seek(0)
            self._zip = ZipFile(file)
        self.entries = [entry for entry in self._zip.infolist() if not entry.is_dir()]
        self._max_bytes = max_bytes
        self._left = max_bytes
        names: set[str] = set()
        for entry in self._zip.infolist():
            _check_entry(entry)
            if entry.filename in names:
                raise refused(f"The archive holds {shown(entry.filename)} twice; pack it again.", "damaged")
            names.add(entry.filename)
        if sum(entry.file_size for entry in self.entries) > max_bytes:
            raise self._too_large()

    @contextmanager
    def opened(self, entry: ZipInfo) -> Iterator["Content"]:
        """The content of an entry. Its reads raise SpecError where the archive is damaged."""
        subject = f"The file {shown(entry.filename)} in the archive"
        with damage_refused(subject):
            stream = self._zip.open(entry)
        with stream:
            yield Content(stream, subject)

    def read(self, entry: ZipInfo) -> bytes:
        """The content of an entry, a picture. Raises SpecError before one is unpacked that is too large."""
        if entry.file_size > MAX_FILE_BYTES:
            detail = f"{shown(entry.filename)} is larger than {MAX_FILE_BYTES:,} bytes; make it smaller."
            raise refused(detail, "too_large")
        with self.opened(entry) as stream:
            data = stream.read()
        self.spend(len(data))
        return data

    def spend(self, count: int) -> None:
        """Count unpacked bytes. Raises SpecError once they are too many."""
        self._left -= count
        if self._left < 0:
            raise self._too_large()

    def _too_large(self) -> SpecError:
        detail = f"The archive unpacks to more than {self._max_bytes:,} bytes; make its pictures smaller or fewer."
        return refused(detail, "too_large")


class Content:
    """A stream of an archive whose damage is a refusal. subject: begins the sentence."""

    def __init__(self, stream: IO[bytes], subject: str) -> None:
        self._stream, self.subject = stream, subject

    def read(self, count: int = -1, /) -> bytes:
        """At most `count` bytes, fewer only at the end."""
        with damage_refused(self.subject):
            return self._stream.read(count)


@contextmanager
def damage_refused(subject: str) -> Iterator[None]:
    """Turn the errors of unpacking into a refusal. subject: begins the sentence."""
    try:
        yield
    except SpecError:
        raise
    except _DAMAGES as error:
        raise refused(f"{subject} is damaged or is not a zip ({_reason(error)}); pack it again.", "damaged") from error


def _reason(error: Exception) -> str:
    text = str(error).rstrip(".") or type(error).__name__
    return text[:200]


def _check_directory(file: IO[bytes]) -> None:
    """Bound the entries of the directory, for which zipfile would take half a kilobyte each."""
    size = file.seek(0, 2)
    start = max(0, size - _END_BYTES - _MAX_COMMENT)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        detail = "The file is not a zip. Send a zip of class folders, a zip of IDX files, or an `.npz` of arrays."
        raise refused(detail, "not_an_archive")
    if tail[max(0, at - _END_ZIP64_BYTES) : at].startswith(_END_ZIP64):
        raise _too_many()
    (length,) = struct.unpack_from("<I", tail, at + 12)
    if length > MAX_DIRECTORY_BYTES:
        raise _too_many()
    file.seek(max(0, start + at - length))
    directory = file.read(length)
    position = entries = 0
    while position + _ENTRY_BYTES <= len(directory):
        position += _ENTRY_BYTES + sum(struct.unpack_from("<3H", directory, position + 28))
        entries += 1
        if entries > MAX_FILES:
            raise _too_many()


def _too_many() -> SpecError:
    detail = f"The archive has more than {MAX_FILES:,} files; send the images as an `.npz` with `images` and `labels`."
    return refused(detail, "too_many_files")


def _check_entry(entry: ZipInfo) -> None:
    name = entry.orig_filename.replace("\\", "/")
    parts = name.split("/")
    named = shown(entry.filename)
    if name.startswith("/") or ".." in parts or (len(parts[0]) == 2 and parts[0][1] == ":"):
        raise refused(f"{named} leads out of the archive; pack the folder again, with relative names.", "unsafe_name")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise refused(f"{named} is a link or a special file; pack the picture itself.", "link")
    if entry.flag_bits & _ENCRYPTED:
        raise refused(f"{named} is encrypted; pack the archive without a password.", "encrypted")
    if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise refused(f"{named} is packed with a method other than deflate; pack it as a plain zip.", "compression")
