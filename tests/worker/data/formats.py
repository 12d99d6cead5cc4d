"""Small datasets in the formats of the real files, in torchvision's layout below a folder."""

import bz2
import gzip
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torchvision
from scipy.io import savemat

from shared.datasets import REGISTRY

TYPES = {np.dtype(np.uint8): 8, np.dtype(np.int32): 12}


def idx(values: np.ndarray) -> bytes:
    """A file in the IDX format (LeCun, Cortes & Burges 1998)."""
    header = bytes([0, 0, TYPES[values.dtype], values.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def images(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Random uint8 [count, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int, classes: int, first: int = 0) -> np.ndarray:
    """uint8 [count]: every class in turn."""
    return (np.arange(count) % classes + first).astype(np.uint8)


def put(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def idx_files(name: str, train: int = 30, test: int = 20, first: int = 0) -> dict[str, bytes]:
    """The four files of `mnist`, `kmnist`, `emnist-letters` …"""
    classes = len(REGISTRY[name].class_names)
    parts = (
        images(train, 28, 28, seed=1),
        labels(train, classes, first),
        images(test, 28, 28, seed=2),
        labels(test, classes, first),
    )
    return {path: idx(part) for path, part in zip(REGISTRY[name].files, parts, strict=True)}


def qmnist_files(train: int = 30, test: int = 20) -> dict[str, bytes]:
    """Labels have eight columns; the first is the class."""
    found: dict[str, bytes] = {}
    for part, count in enumerate((train, test)):
        columns = np.zeros((count, 8), np.int32)
        columns[:, 0], columns[:, 1:] = labels(count, 10), 4711
        image_path, label_path = REGISTRY["qmnist"].files[2 * part : 2 * part + 2]
        found |= {image_path: idx(images(count, 28, 28, seed=part)), label_path: idx(columns)}
    return found


def usps_files(train: int = 30, test: int = 20) -> dict[str, bytes]:
    """LIBSVM lines of a label from 1 to 10 and 256 numbers from -1 to 1, as bzip2."""
    found = {}
    for part, (path, count) in enumerate(zip(REGISTRY["usps"].files, (train, test), strict=True)):
        pixels = images(count, 256, seed=part) / 255 * 2 - 1
        lines = [
            f"{label} " + " ".join(f"{place + 1}:{value:.6f}" for place, value in enumerate(row))
            for label, row in zip(labels(count, 10, 1), pixels, strict=True)
        ]
        found[path] = bz2.compress("\n".join(lines).encode() + b"\n")
    return found


def cifar_files(
    name: str, train: np.ndarray, train_labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> dict[str, bytes]:
    """Pickled batches of uint8 [N, 3072] with labels; images are given as [N, 3, 32, 32]."""
    *training, test_path, meta_path = REGISTRY[name].files
    key, names = ("labels", "label_names") if name == "cifar10" else ("fine_labels", "fine_label_names")
    batches, batch_labels = np.array_split(train, len(training)), np.array_split(train_labels, len(training))
    found = {
        path: _batch(batch, batch_labels_, key)
        for path, batch, batch_labels_ in zip(training, batches, batch_labels, strict=True)
    }
    found[test_path] = _batch(test, test_labels, key)
    found[meta_path] = pickle.dumps({names: list(REGISTRY[name].class_names)})
    return found


def _batch(part: np.ndarray, part_labels: np.ndarray, key: str) -> bytes:
    return pickle.dumps({"data": part.reshape(len(part), -1), key: [int(label) for label in part_labels]})


def put_svhn(folder: Path, train: int = 30, test: int = 20) -> None:
    """MATLAB files: images [32, 32, 3, N], labels 1 to 10, where 10 is the digit 0."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (path, count) in enumerate(zip(REGISTRY["svhn"].files, (train, test), strict=True)):
        pixels = images(count, 3, 32, 32, seed=part).transpose(2, 3, 1, 0)
        savemat(folder / path, {"X": pixels, "y": labels(count, 10, 1)[:, None]})


def accept_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torchvision check only the presence of CIFAR's and SVHN's files; its checksums are of the real files."""
    for reader in (torchvision.datasets.CIFAR10, torchvision.datasets.CIFAR100):
        for attribute in ("train_list", "test_list"):
            monkeypatch.setattr(reader, attribute, [[name, None] for name, _ in getattr(reader, attribute)])
        monkeypatch.setattr(reader, "meta", reader.meta | {"md5": None})
    parts = {part: [url, name, None] for part, (url, name, _) in torchvision.datasets.SVHN.split_list.items()}
    monkeypatch.setattr(torchvision.datasets.SVHN, "split_list", parts)


def compressed(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Each file as gzip, by its path with `.gz`."""
    return {f"{path}.gz": gzip.compress(content) for path, content in contents.items()}
