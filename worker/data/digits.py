"""The builtin digits, which need no preparation."""

import numpy as np
import torch
from torch.nn.functional import interpolate, pad

from shared.datasets.builtin import DIGITS_FILE, DIGITS_TEST_EVERY
from shared.datasets.class_names import DIGITS
from worker.data.images import ImageDataset


def builtin_digits() -> ImageDataset:
    """1,797 digits that come with Mimeo, every fifth of them for testing.

    `digits.npz` has them as 8×8 with values 0 to 16: the test part of "Optical Recognition of Handwritten Digits"
    (Alpaydin & Kaynak 1998, doi:10.24432/C50P49, CC BY 4.0), in scikit-learn's order. Each is enlarged three times by
    bicubic interpolation and framed by 2 black pixels. The result is 28×28 with a margin like MNIST's, a size that all
    image models accept.
    """
    with np.load(DIGITS_FILE) as file:
        small = torch.from_numpy(file["images"].astype(np.float32))[:, None] / 16
        labels = torch.from_numpy(file["labels"].astype(np.int64))
    large = pad(interpolate(small, scale_factor=3, mode="bicubic", align_corners=False), (2, 2, 2, 2))
    images = (large.clamp(0, 1) * 255).round().to(torch.uint8)
    test = torch.arange(len(labels)) % DIGITS_TEST_EVERY == DIGITS_TEST_EVERY - 1
    return ImageDataset("digits", images[~test], labels[~test], images[test], labels[test], DIGITS)
