"""Pixels and arrays as files."""

import io
import zlib

import numpy as np
from PIL import Image

_PADDING_PX = 2


def png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 [H, W] or [H, W, 3].

    Only runs are looked for: of pictures in tiles that makes smaller files than zlib's other ways, in less time.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    """NumPy's own format, float32."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
    return buffer.getvalue()


def grid(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images float32 [N, C, H, W] in [0, 1], row by row, as one picture uint8 [H', W'] or [H', W', 3].

    Tiles stand two dark pixels apart and keep their size. N may be smaller than rows × columns; the rest stays dark.
    """
    count, channels, height, width = images.shape
    pixels = np.zeros((rows * columns, channels, height, width), np.uint8)
    pixels[:count] = np.rint(np.clip(images, 0, 1) * 255)
    step_y, step_x = height + _PADDING_PX, width + _PADDING_PX
    picture = np.zeros((rows * step_y - _PADDING_PX, columns * step_x - _PADDING_PX, channels), np.uint8)
    for index, tile in enumerate(pixels):
        top, left = index // columns * step_y, index % columns * step_x
        picture[top : top + height, left : left + width] = tile.transpose(1, 2, 0)
    return picture[:, :, 0] if channels == 1 else picture
