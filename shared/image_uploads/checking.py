"""Checks an upload of images whole, and writes its stored form. Each picture is decoded, one at a time."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from PIL import Image

from shared.errors import SpecError
from shared.image_uploads import arrays, folders, limits
from shared.image_uploads.archive import Archive
from shared.image_uploads.limits import refused, shown
from shared.image_uploads.pictures import Picture, Repair, look
from shared.image_uploads.preview import Preview
from shared.image_uploads.seen import Seen
from shared.image_uploads.stored import Manifest, Writer
from shared.image_uploads.words import left_out_sentence, sentences

Add = Callable[[str, int, Picture, bytes], None]
"""Takes a picture: its part, label, facts and file."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What the sender chose. size: height and width, by default 28 in grey and 32 in colour. channels: 1 or 3."""

    size: int | None = None
    channels: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """Numbers of the stored form. details: of its row. preview: a PNG."""

    size: int
    sha256: str
    details: dict[str, Any]
    preview: bytes


def check(file: IO[bytes], options: ImageOptions, target: IO[bytes], *, max_upload_bytes: int) -> ImageFacts:
    """Check an upload and write its stored form to `target`. Raises SpecError with a sentence."""
    archive = Archive(file, max_upload_bytes * limits.UNPACKED_RATIO)
    writer, seen, preview = Writer(target), Seen(), Preview()

    def add(part: str, label: int, picture: Picture, data: bytes) -> None:
        seen.add(part, label, picture)
        writer.add(part, label, data)
        if preview.wants(label):
            preview.add(label, picture.name, data)

    found = arrays.sources(archive)
    notes: list[str] = []
    copy = partial(_copy_arrays, found) if found else _copy_pictures
    names = copy(archive, add, notes)
    train, test = _split(seen, names)
    channels = options.channels or (1 if seen.greys == seen.images else 3)
    size = options.size or limits.default_size(channels)
    if seen.images * size * size * channels > limits.MAX_PREPARED_BYTES:
        detail = f"{seen.images:,} images of {size}×{size} take more than {limits.MAX_PREPARED_BYTES:,} bytes; "
        raise SpecError.at("/size", f"{detail}choose a smaller size or fewer images.", "too_large")
    is_split = not any(part == folders.WHOLE for part, _ in seen.counts)
    sha256, stored_size = writer.finish(Manifest(size=size, channels=channels, class_names=names, is_split=is_split))
    details = {
        "images": seen.images,
        "train": sum(train),
        "test": sum(test),
        "classes": list(names),
        "counts": [a + b for a, b in zip(train, test, strict=True)],
        "channels": channels,
        "size": size,
        "notes": sentences(seen, train, test, channels=channels, size=size, is_split=is_split) + notes,
    }
    return ImageFacts(size=stored_size, sha256=sha256, details=details, preview=preview.png(size, channels))


def _copy_pictures(archive: Archive, add: Add, notes: list[str]) -> list[str]:
    """Copy the pictures of class folders. Returns the class names."""
    found = folders.place(archive.entries)
    for placed in found.pictures:
        data = archive.read(placed.entry)
        add(placed.part, placed.label, look(placed.entry.filename, data), data)
    if found.left_out:
        notes.append(left_out_sentence(found.left_out))
    return list(found.class_names)


def _copy_arrays(found: list[arrays.Source], archive: Archive, add: Add, notes: list[str]) -> list[str]:
    """Copy the images of arrays as PNG. Returns the class names: the labels that occur."""
    labels = [arrays.read_labels(archive, source) for source in found]
    values = sorted({label for each in labels for label in each})
    if len(values) > limits.MAX_CLASSES:
        detail = f"There are {len(values):,} different labels; at most {limits.MAX_CLASSES:,} classes fit."
        raise refused(detail, "too_many_classes")
    class_of = {value: number for number, value in enumerate(values)}
    if values != list(range(len(values))):
        notes.append("The labels are not 0, 1, 2 and so on: they became the names of the classes.")
    for source, own in zip(found, labels, strict=True):
        with arrays.opened_images(archive, source, own) as (mode, width, height, images):
            repairs = frozenset({Repair.ALPHA} if mode == "RGBA" else ())
            picture = Picture(
                name=source.images.filename, width=width, height=height, is_grey=mode == "L", repairs=repairs
            )
            for label, data in zip(own, images, strict=True):
                add(source.part, class_of[label], picture, _png(mode, width, height, data))
    return [str(value) for value in values]


def _png(mode: str, width: int, height: int, data: bytes) -> bytes:
    file = io.BytesIO()
    Image.frombytes(mode, (width, height), data).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _split(seen: Seen, names: list[str]) -> tuple[list[int], list[int]]:
    """Training and test images of each class. Raises SpecError where a class lacks one of them."""
    if seen.images < 2:
        detail = f"The archive holds {seen.images or 'no'} image{'s' * (not seen.images)}; give at least 2 in a class."
        raise refused(detail, "too_few_images")
    train, test = [], []
    for label, name in enumerate(names):
        whole = seen.counts[folders.WHOLE, label]
        if whole == 1:
            detail = f"The class {shown(name)} has one image; give it two or more, for training and for the test."
            raise refused(detail, "too_few_images")
        tested = limits.test_count(whole) if whole else 0
        train.append(seen.counts["train", label] + whole - tested)
        test.append(seen.counts["test", label] + tested)
        if not train[-1] or not test[-1]:
            part = "test" if train[-1] else "training"
            detail = f"The class {shown(name)} has no {part} images; add some, or leave the split to Mimeo."
            raise refused(detail, "missing_part")
    return train, test
