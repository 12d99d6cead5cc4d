"""Reads the stored form of uploaded images through torchvision. Only the preparation imports this module."""

import tarfile
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from shared.errors import JobFailure
from shared.image_uploads.limits import test_count
from shared.image_uploads.pictures import repaired
from shared.image_uploads.stored import MANIFEST, Manifest
from shared.job_status import ErrorCode
from worker.data.images import ImageDataset


def read(name: str, archive: Path) -> ImageDataset:
    """The images of an upload. Unpacks beside the archive, and removes that. Raises JobFailure(INVALID_DATA)."""
    try:
        with TemporaryDirectory(dir=archive.parent) as unpacked:
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
            return _read(name, Path(unpacked))
    except MemoryError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        message = f"The uploaded images of {name} cannot be prepared: {reason}."
        raise JobFailure(ErrorCode.INVALID_DATA, message, "Upload them again, and submit a new job.") from error


def _read(name: str, folder: Path) -> ImageDataset:
    manifest = Manifest.from_json((folder / MANIFEST).read_bytes())
    if manifest.is_split:
        train, test = (_images(folder / part, manifest) for part in ("train", "test"))
        return ImageDataset(name, *train, *test, tuple(manifest.class_names))
    images, labels = _images(folder / "all", manifest)
    is_test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(len(manifest.class_names)):
        (places,) = torch.where(labels == label)  # in the order of their contents
        is_test[places[: test_count(len(places))]] = True
    return ImageDataset(
        name, images[~is_test], labels[~is_test], images[is_test], labels[is_test], tuple(manifest.class_names)
    )


def _images(folder: Path, manifest: Manifest) -> tuple[Tensor, Tensor]:
    """uint8 [N, C, H, W] and int64 [N], by class and then by content."""
    size = [manifest.size, manifest.size]
    found = ImageFolder(
        str(folder),
        transform=v2.Compose([v2.PILToTensor(), v2.Resize(size, antialias=True)]),
        loader=partial(_square, manifest.channels),
        is_valid_file=lambda _path: True,
    )
    images = torch.empty(len(found), manifest.channels, *size, dtype=torch.uint8)
    for place, (image, _) in enumerate(found):
        images[place] = image
    return images, torch.tensor(found.targets, dtype=torch.int64)


def _square(channels: int, path: str) -> Image.Image:
    """The square in the middle of a picture, which is cut before it is resized, so that no side grows long."""
    with Image.open(path) as opened:
        image = repaired(opened, channels)
    side = min(image.size)
    cut: Image.Image = v2.functional.center_crop(image, [side, side])
    return cut
