"""Images as arrays: the members of an `.npz`, and IDX files. Read as streams, without NumPy."""

import ast
import gzip
import math
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, cast
from zipfile import ZipInfo

from shared.image_uploads.archive import Archive, Content
from shared.image_uploads.limits import MAX_IMAGES, MAX_PIXELS, MIN_SIDE, refused, shown

_IDX = re.compile(r"(?:.*[-_.])?(train|t10k|test)[-_.](images|labels)[-_.]idx[13][-_.]ubyte(\.gz)?", re.IGNORECASE)
_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 4096
_LABELS = re.compile(r"([<>|=]?)([iu])([1248])")
_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"}
_IDX_BYTES = 0x08
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True, kw_only=True)
class Source:
    """The files of one part: `train` or `test`, or `all` where the archive has one part only."""

    part: str
    images: ZipInfo
    labels: ZipInfo


@dataclass(frozen=True, kw_only=True)
class Header:
    """An array. kind: `u1`, `i8` and so on. order: `<` or `>`. shape: its sizes."""

    kind: str
    order: str
    shape: tuple[int, ...]


def sources(archive: Archive) -> list[Source]:
    """The arrays of an archive; empty where it holds other files. Raises SpecError where some are missing."""
    npy = {PurePosixPath(entry.filename).name: entry for entry in archive.entries if entry.filename.endswith(".npy")}
    if npy:
        return _paired(npy, {"train": ("images.npy", "labels.npy"), "test": ("test_images.npy", "test_labels.npy")})
    idx: dict[str, ZipInfo] = {}
    for entry in archive.entries:
        if found := _IDX.fullmatch(PurePosixPath(entry.filename).name):
            part = "train" if found[1].lower() == "train" else "test"
            idx[f"{part} {found[2].lower()}"] = entry
    if idx:
        return _paired(idx, {part: (f"{part} images", f"{part} labels") for part in ("train", "test")})
    return []


def _paired(files: dict[str, ZipInfo], names: dict[str, tuple[str, str]]) -> list[Source]:
    for part, pair in names.items():
        missing = [name for name in pair if name not in files]
        if missing and (part == "train" or len(missing) == 1):
            raise refused(f"The archive has no {missing[0].removesuffix('.npy')}; add this array.", "missing_label")
    found = [part for part, pair in names.items() if pair[0] in files]
    one = len(found) == 1
    return [
        Source(part="all" if one else part, images=files[names[part][0]], labels=files[names[part][1]])
        for part in found
    ]


def read_labels(archive: Archive, source: Source) -> list[int]:
    """The label of each image. Raises SpecError."""
    name = shown(source.labels.filename)
    with _stream(archive, source.labels) as stream:
        header = _header(stream, source.labels)
        shape = header.shape[:1] if header.shape[1:] == (1,) else header.shape
        if header.kind not in _CODES or len(shape) != 1:
            detail = f"{name} holds {header.kind} of shape {header.shape}; give one whole number for each image."
            raise refused(detail, "wrong_labels")
        _check_count(shape[0], name)
        data = _exactly(archive, stream, shape[0] * int(header.kind[1]), name)
        _check_end(stream, name)
    labels = list(struct.unpack(f"{header.order}{shape[0]}{_CODES[header.kind]}", data))
    if labels and min(labels) < 0:
        raise refused(f"{name} holds the label {min(labels)}; labels start at 0.", "wrong_labels")
    return labels


@contextmanager
def opened_images(
    archive: Archive, source: Source, labels: Sequence[int]
) -> Iterator[tuple[str, int, int, Iterator[bytes]]]:
    """Pillow's mode, width and height of the images, and the pixels of each. Raises SpecError."""
    name = shown(source.images.filename)
    with _stream(archive, source.images) as stream:
        header = _header(stream, source.images)
        count, height, width, channels = _image_shape(header, name)
        if count != len(labels):
            detail = f"{name} holds {count:,} images and {shown(source.labels.filename)} {len(labels):,} labels."
            raise refused(f"{detail} Give one label for each image.", "wrong_labels")

        def images() -> Iterator[bytes]:
            for _ in range(count):
                yield _exactly(archive, stream, height * width * channels, name)
            _check_end(stream, name)

        yield _MODES[channels], width, height, images()


def _image_shape(header: Header, name: str) -> tuple[int, int, int, int]:
    """N, H, W, C."""
    if header.kind != "u1":
        detail = f"{name} holds {header.kind}, not uint8. Save values from 0 to 255: `(255 * images).astype('uint8')`."
        raise refused(detail, "wrong_type")
    shape = (*header.shape, 1) if len(header.shape) == 3 else header.shape
    if len(shape) != 4 or shape[3] not in _MODES:
        detail = (
            f"{name} has the shape {header.shape}; give [images, height, width] or [images, height, width, 1 or 3]."
        )
        raise refused(detail, "wrong_shape")
    count, height, width, channels = shape
    _check_count(count, name)
    if height * width > MAX_PIXELS or min(height, width) < MIN_SIDE:
        detail = (
            f"{name} has images of {width}×{height} pixels; each side needs at least {MIN_SIDE}, all {MAX_PIXELS:,}."
        )
        raise refused(detail, "wrong_shape")
    return count, height, width, channels


def _check_count(count: int, name: str) -> None:
    if count > MAX_IMAGES:
        raise refused(f"{name} holds {count:,} images; at most {MAX_IMAGES:,} fit.", "too_many_images")


@contextmanager
def _stream(archive: Archive, entry: ZipInfo) -> Iterator[Content]:
    with archive.opened(entry) as content:
        if not entry.filename.lower().endswith(".gz"):
            yield content
            return
        with gzip.GzipFile(fileobj=cast("IO[bytes]", content), mode="rb") as unpacked:
            yield Content(cast("IO[bytes]", unpacked), content.subject)


def _header(stream: Content, entry: ZipInfo) -> Header:
    """Read to the first value. Raises SpecError."""
    return _npy_header(stream, entry) if entry.filename.endswith(".npy") else _idx_header(stream, entry)


def _idx_header(stream: Content, entry: ZipInfo) -> Header:
    magic = stream.read(4)
    if len(magic) != 4 or magic[:3] != bytes([0, 0, _IDX_BYTES]) or magic[3] not in {1, 3}:
        raise refused(f"{shown(entry.filename)} is not an IDX file of bytes.", "damaged")
    sizes = stream.read(4 * magic[3])
    if len(sizes) != 4 * magic[3]:
        raise refused(f"{shown(entry.filename)} ends within its header.", "damaged")
    return Header(kind="u1", order=">", shape=struct.unpack(f">{magic[3]}I", sizes))


def _npy_header(stream: Content, entry: ZipInfo) -> Header:
    name = shown(entry.filename)
    start = stream.read(8)
    width = 2 if start[6:7] == b"\x01" else 4
    length = int.from_bytes(stream.read(width), "little")
    text = stream.read(min(length, _MAX_HEADER_BYTES))
    try:
        if start[:6] != _MAGIC or len(text) != length:
            raise ValueError(length)
        found = ast.literal_eval(text.decode("latin-1").strip())
        kind, is_fortran, shape = str(found["descr"]), found["fortran_order"], tuple(map(int, found["shape"]))
        if min(shape, default=0) < 0 or math.prod(shape) > 1 << 40:
            raise ValueError(shape)
    except (ValueError, SyntaxError, TypeError, LookupError, MemoryError, RecursionError) as error:
        raise refused(f"{name} is not an array in NumPy's format; write it with `numpy.savez`.", "damaged") from error
    if is_fortran and len(shape) > 1:
        raise refused(f"{name} is stored by columns; save `numpy.ascontiguousarray(…)` of it.", "wrong_order")
    if "O" in kind:
        raise refused(f"{name} holds Python objects; save numbers of one size.", "wrong_type")
    plain = _LABELS.fullmatch(kind)
    if plain is None:
        return Header(kind=kind[:40], order="<", shape=shape)
    return Header(kind=plain[2] + plain[3], order=">" if plain[1] == ">" else "<", shape=shape)


def _exactly(archive: Archive, stream: Content, count: int, name: str) -> bytes:
    archive.spend(count)
    data = stream.read(count)
    if len(data) != count:
        raise refused(f"{name} ends before its last value; save it again.", "damaged")
    return data


def _check_end(stream: Content, name: str) -> None:
    if stream.read(1):
        raise refused(f"{name} holds more values than its header says; save it again.", "damaged")
