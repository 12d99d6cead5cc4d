"""Prepared datasets: one safetensors file, which all processes of a machine map and share.

Tensors: `train_images` and `test_images` uint8 [N, C, H, W], `train_labels` and `test_labels` int64 [N]. The metadata
`mimeo` is a JSON object: name, title, version, class_names, sources (path, size, sha256), sha256 and crc32 of the
tensors.
"""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from shared.atomic_files import sync
from shared.datasets import DatasetInfo
from shared.datasets.places import PREPARATION_VERSION, locate, prepared_files, prepared_folder
from worker.data.download import checksum_of
from worker.data.images import ImageDataset

TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
_METADATA = "mimeo"


class Damaged(Exception):
    """The contents of a prepared file do not match its checksum."""


def find(info: DatasetInfo, datasets_dir: Path | None, downloads: Path) -> Path | None:
    """The prepared file for the current state of the dataset's files, or None.

    Where the files are missing, the newest prepared file is used.
    """
    sources = locate(info, (datasets_dir, downloads))
    if sources is None:
        return next(iter(prepared_files(info, downloads)), None)
    path = path_for(info, sources, downloads)
    return path if path.is_file() else None


def path_for(info: DatasetInfo, sources: list[Path], downloads: Path) -> Path:
    """Path of the prepared form of these files. Its name depends on their sizes and times, and on the registry."""
    files = [
        (path, status.st_size, status.st_mtime_ns)
        for path, status in zip(info.files, (source.stat() for source in sources), strict=True)
    ]
    line = [info.reader, dict(info.train), dict(info.test), info.transposed, info.first_label, info.class_names]
    fingerprint = hashlib.sha256(json.dumps([files, line], sort_keys=True).encode()).hexdigest()[:12]
    return prepared_folder(downloads) / f"{info.name}-v{PREPARATION_VERSION}-{fingerprint}.safetensors"


def write(info: DatasetInfo, dataset: ImageDataset, sources: list[Path], path: Path) -> None:
    """Write the prepared file atomically, and remove those it replaces. Requires the lock of `obtaining`."""
    tensors = {name: getattr(dataset, name).contiguous() for name in TENSORS}
    facts = {
        "name": info.name,
        "title": info.title,
        "version": PREPARATION_VERSION,
        "class_names": dataset.class_names,
        "sources": [
            {"path": file, "size": source.stat().st_size, "sha256": checksum_of(source).removeprefix("sha256:")}
            for file, source in zip(info.files or [source.name for source in sources], sources, strict=True)
        ],
        "sha256": dataset.sha256,
        "crc32": _crc32(tensors),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(info, path.parent)
    temporary = path.with_name(f".{info.name}-{os.getpid()}.tmp")
    save_file(tensors, temporary, {_METADATA: json.dumps(facts)})
    temporary.chmod(0o644)  # safetensors writes files that only their owner can read
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)
    own = re.compile(rf"{re.escape(info.name)}-v\d+-[0-9a-f]{{12}}\.safetensors")
    for old in path.parent.glob(f"{info.name}-v*-*.safetensors"):
        if old != path and own.fullmatch(old.name):
            old.unlink(missing_ok=True)


def remove_leftovers(info: DatasetInfo, folder: Path) -> None:
    """Remove unfinished files of killed processes. Requires the lock of `obtaining`, so that none is being written."""
    for leftover in folder.glob(f".{info.name}-*.tmp"):
        if leftover.name.removeprefix(f".{info.name}-").removesuffix(".tmp").isdigit():
            leftover.unlink()


def read(info: DatasetInfo, path: Path) -> ImageDataset:
    """The dataset, its tensors mapped from the file. Raises Damaged, and FileNotFoundError for a missing file."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_METADATA])
            tensors = {name: file.get_tensor(name) for name in TENSORS}
    except (SafetensorError, KeyError, ValueError) as error:
        raise Damaged(f"{path}: {error}") from error
    if _crc32(tensors) != facts["crc32"]:
        raise Damaged(f"{path}: its checksum is not the recorded one")
    return ImageDataset(
        name=info.name, class_names=tuple(facts["class_names"]), known_sha256=facts["sha256"], **tensors
    )


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    """Over all tensors; a tenth of a second for 200 MB."""
    total = 0
    for name in TENSORS:
        total = zlib.crc32(tensors[name].numpy().data, total)
    return total


def describe(path: Path) -> dict[str, Any]:
    """The metadata of a prepared file."""
    with safe_open(path, framework="pt") as file:
        facts: dict[str, Any] = json.loads(file.metadata()[_METADATA])
    return facts
