"""Reads image datasets through torchvision. Only the preparation imports this module."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from shared.datasets import DatasetInfo
from shared.errors import JobFailure
from shared.job_status import ErrorCode
from worker.data.images import ImageDataset


def read(info: DatasetInfo, folder: Path) -> ImageDataset:
    """The dataset from its files below `folder`, in torchvision's layout; the folder is only read.

    Raises JobFailure(INVALID_DATA) with the names of the files that cannot be read.
    """
    train_images, train_labels = _part(info, folder, "train", dict(info.train))
    test_images, test_labels = _part(info, folder, "test", dict(info.test))
    return ImageDataset(info.name, train_images, train_labels, test_images, test_labels, info.class_names)


def _part(info: DatasetInfo, folder: Path, part: str, arguments: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, C, H, W] and labels int64 [N] of one part."""
    reader = getattr(torchvision.datasets, info.reader)
    try:
        opened = reader(str(folder), **arguments)
        images = _images(info, opened.data)
        labels = _labels(opened) - info.first_label
    except Exception as error:
        # torchvision passes an IDX file that ends after its header to torch.frombuffer, which refuses it.
        is_empty = "must be non-negative and no greater than buffer length" in str(error)
        reason = "it has no images" if is_empty else str(error) or type(error).__name__
        raise _damaged(info, folder, part, reason) from error
    if len(images) != len(labels):
        raise _damaged(info, folder, part, f"{len(images)} images have {len(labels)} labels")
    if not len(labels):
        raise _damaged(info, folder, part, "it has no images")
    if int(labels.min()) < 0 or int(labels.max()) >= len(info.class_names):
        raise _damaged(info, folder, part, f"its labels are not 0 to {len(info.class_names) - 1}")
    return images, labels


def _images(info: DatasetInfo, data: Any) -> Tensor:
    """uint8 [N, C, H, W], upright, from a reader's array without channels or with channels first or last."""
    images = torch.as_tensor(np.asarray(data))
    wanted = (info.shape.channels, info.shape.height, info.shape.width)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == wanted[0]:
        images = images.movedim(-1, 1)
    if info.transposed:
        images = images.transpose(2, 3)
    if images.dtype != torch.uint8 or tuple(images.shape[1:]) != wanted:
        raise ValueError(f"its images are {images.dtype} {tuple(images.shape[1:])}, not uint8 {wanted}")
    return images.contiguous()


def _labels(opened: Any) -> Tensor:
    """int64 [N]; the first of several columns is the class."""
    labels = torch.as_tensor(np.asarray(opened.targets if hasattr(opened, "targets") else opened.labels)).long()
    return labels if labels.ndim == 1 else labels[:, 0].clone()


def _damaged(info: DatasetInfo, folder: Path, part: str, reason: str) -> JobFailure:
    files = ", ".join(str(folder / path) for path in info.files)
    message = f"The {part} part of `{info.name}` is damaged: {reason}. It is in {files}."
    return JobFailure(
        ErrorCode.INVALID_DATA,
        message,
        "Delete the files so that they are downloaded again, or replace them with good copies.",
    )
