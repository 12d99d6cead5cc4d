"""The classes of a zip of folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from zipfile import ZipInfo

from shared.image_uploads.limits import MAX_CLASS_NAME, MAX_CLASSES, MAX_IMAGES, refused, shown

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".pbm"})
_OTHER_PICTURES = frozenset({".tif", ".tiff", ".heic", ".heif", ".avif", ".svg", ".jp2", ".psd", ".ico"})
_ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".npz"})
_OF_SYSTEMS = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_PARTS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
}
WHOLE = "all"  # the part of images that are not split yet


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A picture of the archive. part: `train` or `test`, or `all` where the archive has no such folders."""

    entry: ZipInfo
    part: str
    label: int


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The pictures by name, and the classes by name. left_out: files that are not pictures."""

    pictures: Sequence[Placed]
    class_names: Sequence[str]
    left_out: int


def place(entries: Sequence[ZipInfo]) -> Folders:
    """Find the class of each picture: its outermost folder. Raises SpecError."""
    found: list[tuple[ZipInfo, tuple[str, ...]]] = []
    left_out = 0
    for entry in entries:
        parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
        if any(part.startswith(".") or part.lower() in _OF_SYSTEMS for part in parts):
            continue
        if _is_picture(entry, parts[-1]):
            found.append((entry, parts))
        else:
            left_out += 1
    if not found:
        raise refused(f"The archive holds no pictures ({', '.join(sorted(SUFFIXES))}).", "no_images")
    if len(found) > MAX_IMAGES:
        raise refused(f"The archive holds more than {MAX_IMAGES:,} pictures; leave some out.", "too_many_images")
    part_of, paths = _split(_without_common_folders([parts for _, parts in found]))
    for (entry, _), path in zip(found, paths, strict=True):
        _check_class(entry, path)
    names = sorted({path[0] for path in paths})
    if len(names) > MAX_CLASSES:
        raise refused(f"The archive has {len(names):,} class folders; at most {MAX_CLASSES:,} fit.", "too_many_classes")
    labels = {name: label for label, name in enumerate(names)}
    pictures = [
        Placed(entry=entry, part=part, label=labels[path[0]])
        for (entry, _), part, path in zip(found, part_of, paths, strict=True)
    ]
    return Folders(
        pictures=sorted(pictures, key=lambda each: each.entry.filename), class_names=names, left_out=left_out
    )


def _is_picture(entry: ZipInfo, name: str) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _ARCHIVES:
        raise refused(f"{shown(entry.filename)} is an archive inside the archive; unpack it first.", "nested_archive")
    if suffix in _OTHER_PICTURES:
        raise refused(f"{shown(entry.filename)}: convert this picture to PNG or JPEG first.", "unknown_format")
    return suffix in SUFFIXES


def _without_common_folders(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    while all(len(path) > 2 for path in paths) and len({path[0] for path in paths}) == 1:
        paths = [path[1:] for path in paths]
    return paths


def _split(paths: list[tuple[str, ...]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The part of each picture, and its path below the folder of the part."""
    parts = [_PARTS.get(path[0].lower(), WHOLE) if len(path) > 2 else WHOLE for path in paths]
    if set(parts) != {"train", "test"}:
        return [WHOLE] * len(paths), paths
    return parts, [path[1:] for path in paths]


def _check_class(entry: ZipInfo, path: tuple[str, ...]) -> None:
    if len(path) < 2:
        detail = f"{shown(entry.filename)} is in no class folder; put the pictures of each class into a folder of it."
        raise refused(detail, "missing_label")
    name = path[0]
    if len(name) > MAX_CLASS_NAME or not name.isprintable():
        detail = f"The class folder {shown(name)} needs a printable name of at most {MAX_CLASS_NAME} characters."
        raise refused(detail, "invalid_class_name")
