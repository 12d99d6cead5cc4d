"""Datasets read through torchvision from small files in their real formats."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.datasets import REGISTRY
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from tests.worker.data import formats
from worker.data.images import ImageDataset
from worker.data.readers import read

IDX = ("mnist", "fashion-mnist", "kmnist")
READ = [name for name, info in REGISTRY.items() if info.reader]


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    formats.accept_small_files(monkeypatch)


def put(name: str, folder: Path) -> None:
    """A small dataset of 30 and 20 images."""
    match name:
        case "emnist-letters":
            formats.put(folder, formats.idx_files(name, first=1))
        case "qmnist":
            formats.put(folder, formats.qmnist_files())
        case "usps":
            formats.put(folder, formats.usps_files())
        case "svhn":
            formats.put_svhn(folder)
        case "cifar10" | "cifar100":
            train, test = formats.images(30, 3, 32, 32, seed=1), formats.images(20, 3, 32, 32, seed=2)
            classes = len(REGISTRY[name].class_names)
            parts = (train, formats.labels(30, classes), test, formats.labels(20, classes))
            formats.put(folder, formats.cifar_files(name, *parts))
        case _:
            formats.put(folder, formats.idx_files(name))


@pytest.mark.parametrize(
    "name", [name for name, info in REGISTRY.items() if info.kind == "images" and not info.builtin]
)
def test_each_registered_dataset_has_the_registered_shape(name: str, tmp_path: Path) -> None:
    put(name, tmp_path)
    info = REGISTRY[name]

    dataset = read(info, tmp_path)

    assert isinstance(dataset, ImageDataset)
    assert dataset.image_shape == (info.shape.channels, info.shape.height, info.shape.width)
    assert (len(dataset.train_images), len(dataset.test_images)) == (30, 20)
    assert dataset.train_images.dtype == torch.uint8
    assert dataset.train_labels.dtype == torch.int64
    assert dataset.class_names == info.class_names
    classes = len(info.class_names)
    expected = [(n + 1) % 10 for n in range(30)] if name == "svhn" else [n % classes for n in range(30)]
    assert dataset.train_labels.tolist() == expected


@pytest.mark.parametrize("name", IDX)
def test_grey_images_have_the_pixels_of_the_file(name: str, tmp_path: Path) -> None:
    put(name, tmp_path)

    assert np.array_equal(read(REGISTRY[name], tmp_path).train_images[:, 0].numpy(), formats.images(30, 28, 28, seed=1))


@pytest.mark.parametrize("name", ["emnist-letters", "emnist-balanced"])
def test_emnist_images_are_rotated_upright(name: str, tmp_path: Path) -> None:
    put(name, tmp_path)

    stored = formats.images(30, 28, 28, seed=1)

    assert np.array_equal(read(REGISTRY[name], tmp_path).train_images[:, 0].numpy(), stored.transpose(0, 2, 1))


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar_images_keep_their_channels_and_orientation(name: str, tmp_path: Path) -> None:
    put(name, tmp_path)

    assert np.array_equal(read(REGISTRY[name], tmp_path).train_images.numpy(), formats.images(30, 3, 32, 32, seed=1))


def test_svhn_images_keep_their_channels_and_orientation(tmp_path: Path) -> None:
    put("svhn", tmp_path)

    assert np.array_equal(read(REGISTRY["svhn"], tmp_path).test_images.numpy(), formats.images(20, 3, 32, 32, seed=1))


def test_usps_pixels_are_bytes(tmp_path: Path) -> None:
    put("usps", tmp_path)

    read_back = read(REGISTRY["usps"], tmp_path).train_images.flatten(1).numpy().astype(int)

    assert np.abs(read_back - formats.images(30, 256, seed=0)).max() <= 1


def damaged(name: str, folder: Path) -> JobFailure:
    with pytest.raises(JobFailure) as caught:
        read(REGISTRY[name], folder)
    assert caught.value.error_code is ErrorCode.INVALID_DATA
    return caught.value


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"<html>404</html>" * 100,
        formats.idx(formats.labels(30, 10)),
        formats.idx(np.zeros((30, 28, 28), np.int32)),
        bytes((0, 0, 8, 3)),
        formats.idx(formats.images(30, 28, 28))[:-5],
        formats.idx(formats.images(30, 28, 28)) + b"more",
        formats.idx(formats.images(30, 20, 20)),
        formats.idx(formats.images(29, 28, 28)),
    ],
    ids=["empty", "page", "labels", "integers", "cut in its header", "cut", "too long", "other size", "fewer images"],
)
def test_damaged_idx_file_is_invalid_data_and_named(tmp_path: Path, contents: bytes) -> None:
    put("mnist", tmp_path)
    path = tmp_path / REGISTRY["mnist"].files[0]
    path.write_bytes(contents)

    failure = damaged("mnist", tmp_path)

    assert str(path) in failure.detail
    assert "train part" in failure.detail


def test_labels_outside_the_classes_are_invalid_data(tmp_path: Path) -> None:
    formats.put(tmp_path, formats.idx_files("mnist", first=3))

    assert "labels are not 0 to 9" in damaged("mnist", tmp_path).detail


@pytest.mark.parametrize("name", ["usps", "svhn", "cifar10"])
def test_damaged_file_of_another_format_is_invalid_data(tmp_path: Path, name: str) -> None:
    put(name, tmp_path)
    path = tmp_path / REGISTRY[name].files[0]
    path.write_bytes(path.read_bytes()[:100])

    assert str(path) in damaged(name, tmp_path).detail


def test_cifar_file_with_another_checksum_is_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    put("cifar10", tmp_path)

    assert "not found or corrupted" in damaged("cifar10", tmp_path).detail
