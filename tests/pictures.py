"""Archives of pictures, as users send them."""

import gzip
import io
import random
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image


def noise(seed: int, width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """A picture of random pixels."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    data = random.Random(seed).randbytes(width * height * channels)
    return Image.frombytes(mode, (width, height), data)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def packed(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of files."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return archive.getvalue()


def class_files(count: int = 5, mode: str = "RGB", **replaced: bytes) -> dict[str, bytes]:
    """`count` pictures each of cats and dogs. replaced: more files of the cats, by name without `.png`."""
    files = {
        f"pets/{name}/{number}.png": encoded(noise(100 * label + number, mode=mode))
        for label, name in enumerate(("cat", "dog"))
        for number in range(count)
    }
    return files | {f"pets/cat/{name}.png": data for name, data in replaced.items()}


def class_folders(count: int = 5, mode: str = "RGB", **replaced: bytes) -> bytes:
    """A zip of `class_files`."""
    return packed(class_files(count, mode, **replaced))


def npz(**arrays: Any) -> bytes:
    """Arrays as NumPy saves them."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def grey_arrays(count: int = 20, side: int = 12) -> dict[str, Any]:
    """Grey images and the labels 0 to 3."""
    random_numbers = np.random.default_rng(1)
    images = random_numbers.integers(0, 256, (count, side, side), dtype=np.uint8)
    return {"images": images, "labels": np.arange(count) % 4}


def idx_files(count: int = 20, *, compressed: bool = False) -> dict[str, bytes]:
    """The four files of MNIST with other images."""
    files = {}
    for part in ("train", "t10k"):
        arrays = grey_arrays(count)
        header = struct.pack(">4B3I", 0, 0, 8, 3, *arrays["images"].shape)
        files[f"{part}-images-idx3-ubyte"] = header + arrays["images"].tobytes()
        labels = arrays["labels"].astype(np.uint8).tobytes()
        files[f"{part}-labels-idx1-ubyte"] = struct.pack(">4BI", 0, 0, 8, 1, count) + labels
    return {f"{name}.gz": gzip.compress(data) for name, data in files.items()} if compressed else files
