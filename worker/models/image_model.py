"""Images as the models use them, and pictures of many at once."""

import math

import numpy as np
import torch
from torch import Tensor

CHUNK = 500  # images a network draws at a time when nothing has to be learned from them


def unit(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.float() / 255


def near_square(count: int) -> tuple[int, int]:
    """Rows and columns that hold `count` pictures and are about as many."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def image_grid(images_NCHW: Tensor, columns: int) -> np.ndarray:
    """One picture of many, row by row: uint8 [H, W] or [H, W, 3] from float images in [0, 1]."""
    count, channels, height, width = images_NCHW.shape
    rows = math.ceil(count / columns)
    blank = torch.ones(rows * columns - count, channels, height, width)
    filled = torch.cat([images_NCHW.cpu(), blank])
    sheet = filled.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    pixels = (sheet.reshape(rows * height, columns * width, channels).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return pixels[:, :, 0] if channels == 1 else pixels
