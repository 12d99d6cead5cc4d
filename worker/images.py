"""Pixels and arrays as files, and grids of images."""

import io
import struct
import zlib

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    """PNG (ISO/IEC 15948) of uint8 [H, W] or [H, W, 3].

    Rows are not filtered: in image grids, rows repeat more than neighbouring pixels do. Pillow is not used, since its
    import takes longer than the trainer takes to read its data.
    """
    height, width = pixels.shape[:2]
    colour_type = 0 if pixels.ndim == 2 else 2
    header = struct.pack(">2I5B", width, height, 8, colour_type, 0, 0, 0)
    unfiltered = np.pad(pixels.reshape(height, -1), ((0, 0), (1, 0)))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(unfiltered.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def npy(array: np.ndarray) -> bytes:
    """The array in NumPy's .npy format, float32."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=np.float32), allow_pickle=False)
    return buffer.getvalue()


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pixels 0 to 255 from floats in [0, 1]; values outside are clipped."""
    pixels: np.ndarray = np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
    return pixels


def image_grid(images_NCHW: np.ndarray, columns: int, *, padding_px: int = 0, background: int = 255) -> np.ndarray:
    """Float images in [0, 1], row by row, as one picture uint8 [H', W'] or [H', W', 3].

    padding_px: between neighbours. background: value of the padding and of the empty places of the last row.
    """
    count, channels, height, width = images_NCHW.shape
    rows = -(-count // columns)
    step_y, step_x = height + padding_px, width + padding_px
    picture = np.full((rows * step_y - padding_px, columns * step_x - padding_px, channels), background, np.uint8)
    for index, pixels in enumerate(to_uint8(images_NCHW)):
        top, left = index // columns * step_y, index % columns * step_x
        picture[top : top + height, left : left + width] = pixels.transpose(1, 2, 0)
    return picture[:, :, 0] if channels == 1 else picture
