"""Previews of datasets: passages and characters of texts, images by class."""

import base64
import io
import random
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from api.parameters import PreviewQuery
from api.runtime import Runtime
from api.schemas.previews import CharacterCount, DatasetPreview, ImageClass, ImagePreview, TextPreview
from shared.datasets import REGISTRY, DatasetInfo, builtin, image_previews, locate, text_previews
from shared.datasets.image_previews import DigitsPart, IdxPart, ImagePart, PreparedPart, Unreadable
from shared.datasets.places import prepared_files, prepared_upload
from shared.datasets.text_previews import TextSource
from shared.db.tables import UploadedDataset
from shared.errors import Conflict, Damaged, SpecError
from shared.services import datasets
from shared.settings import Settings
from shared.text_normalization import InvalidUtf8

_MOST_BYTES = 2 << 20  # of the images in one preview


def preview(current: Runtime, name: str, query: PreviewQuery) -> DatasetPreview:
    """The preview of a dataset. Raises NotFound, SpecError, Damaged, and Conflict where its files are not here yet."""
    info = REGISTRY.get(name)
    try:
        if info is None:
            return _of_upload(current, name, query)
        if info.kind == "images":
            with ExitStack() as files:
                images = _images(_image_part(current, info, query.part, files), query)
            return DatasetPreview(name=name, kind=info.kind, text=None, images=images)
        text = _text(_known_text(current, info), query)
        return DatasetPreview(name=name, kind="text", text=text, images=None)
    except (Unreadable, InvalidUtf8) as error:
        raise Damaged(f"The files of {name} cannot be shown: {error}.") from error


def _of_upload(current: Runtime, name: str, query: PreviewQuery) -> DatasetPreview:
    with current.reading() as session:
        row = datasets.get_upload(session, name)
    if row.kind == "text":
        return DatasetPreview(name=name, kind="text", text=_text(_uploaded(current, row), query), images=None)
    with _prepared_upload(current, row).open("rb") as file:
        images = _images(PreparedPart(file, query.part), query)
    return DatasetPreview(name=name, kind=row.kind, text=None, images=images)


def _prepared_upload(current: Runtime, row: UploadedDataset) -> Path:
    path = prepared_upload(row.name, row.sha256, current.settings.downloads_path)
    if not path.is_file():
        detail = f"{row.name} is prepared by the first training that uses it; its images can be shown after that."
        raise Conflict(f"{detail} Some are in the picture at /v1/datasets/{row.name}/picture.")
    return path


def _uploaded(current: Runtime, row: UploadedDataset) -> TextSource:
    key, storage = row.storage_key, current.storage
    return TextSource(row.sha256, row.size, lambda: storage.open(key))


def _known_text(current: Runtime, info: DatasetInfo) -> TextSource:
    if info.builtin:
        data = builtin.python_source().encode()
        return TextSource(info.name, len(data), lambda: io.BytesIO(data))
    path = _located(info, current.settings)[0]
    status = path.stat()
    return TextSource(f"{path} {status.st_mtime_ns}", status.st_size, lambda: path.open("rb"))


def _text(source: TextSource, query: PreviewQuery) -> TextPreview:
    offset = query.offset
    if query.seed is not None:
        offset = text_previews.random_offset(source, query.length, query.seed)
    if offset >= source.size:
        detail = f"The text has {source.size:,} bytes; give a smaller offset."
        raise SpecError.at("?offset", detail, "out_of_range")
    passage = text_previews.passage(source, offset, query.length)
    characters = text_previews.character_set(source)
    return TextPreview(
        size=source.size,
        offset=passage.offset,
        excerpt=passage.text,
        counted=characters.counted,
        characters=[CharacterCount(character=each, count=count) for each, count in characters.counts],
    )


def _image_part(current: Runtime, info: DatasetInfo, part: str, files: ExitStack) -> ImagePart:
    """One part of a dataset, whose file is open until `files` closes it."""
    if info.builtin:
        return DigitsPart(part)
    for path in prepared_files(info, current.settings.downloads_path):
        return PreparedPart(files.enter_context(path.open("rb")), part)
    paths = _located(info, current.settings)
    if info.reader in image_previews.IDX_READERS:
        return IdxPart(info, paths, part)
    raise Conflict(f"{info.name} is prepared by the first training that uses it; its images can be shown after that.")


def _located(info: DatasetInfo, settings: Settings) -> Sequence[Path]:
    paths = locate(info, (settings.datasets_dir, settings.downloads_path))
    if paths is None:
        remedy = "The first training that uses it downloads it."
        if settings.offline or not info.downloadable:
            remedy = f"Put {', '.join(info.files)} under MIMEO_DATASETS_DIR."
        raise Conflict(f"{info.name} is not on this machine yet. {remedy}")
    return paths


def _images(part: ImagePart, query: PreviewQuery) -> ImagePreview:
    facts, counts = part.facts, image_previews.counts(part)
    if query.label is not None and query.label >= len(counts):
        detail = f"There are {len(counts)} classes, from 0; give a smaller label."
        raise SpecError.at("?label", detail, "out_of_range")
    labels = range(len(counts)) if query.label is None else [query.label]
    size = facts.channels * facts.height * facts.width
    limit = max(1, min(query.limit, _MOST_BYTES // size // len(labels)))
    indices: list[int] = []
    for label in labels:
        found = image_previews.of_class(part, label)
        if query.seed is not None:
            random.Random(query.seed * len(counts) + label).shuffle(found)
        indices += found[query.offset : query.offset + limit]
    pixels = b"".join(part.image(index) for index in indices)
    if len(pixels) != size * len(indices):
        raise Unreadable("the file ends within an image")
    return ImagePreview(
        part=query.part,
        channels=facts.channels,
        height=facts.height,
        width=facts.width,
        classes=[ImageClass(label=i, name=name, count=counts[i]) for i, name in enumerate(facts.class_names)],
        indices=indices,
        labels=[part.labels[index] for index in indices],
        pixels=base64.b64encode(pixels).decode(),
    )
