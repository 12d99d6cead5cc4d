"""Samples of an epoch as files: PNG for images, UTF-8 text else."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from worker import images
from worker.models.base import Sample

FOLDER = "samples"
_LEGIBLE_PX = 480  # images smaller than this are enlarged by a whole factor, at most four
_LARGEST_FACTOR = 4


def write(run_dir: Path, epoch: int, samples: Iterable[Sample]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Write each sample, whole or not at all: (path relative to run_dir, media type, meta)."""
    folder = run_dir / FOLDER
    folder.mkdir(exist_ok=True)
    for sample in samples:
        stem = f"epoch-{epoch:04d}-{sample.name}"
        meta = dict(sample.meta)
        if isinstance(sample.content, str):
            name, media_type, data = f"{stem}.txt", "text/plain; charset=utf-8", sample.content.encode()
        else:
            image = enlarged(sample.content)
            name, media_type, data = f"{stem}.png", "image/png", images.png(image)
            meta |= {"width": image.shape[1], "height": image.shape[0]}
        # A new file each time: the old one may have been hard-linked into the store.
        temporary = folder / f".tmp-{name}"
        temporary.write_bytes(data)
        temporary.replace(folder / name)
        yield f"{FOLDER}/{name}", media_type, meta


def enlarged(image: np.ndarray) -> np.ndarray:
    """The image uint8 [H, W] or [H, W, 3], each pixel repeated 1 to 4 times for legibility."""
    factor = max(1, min(_LARGEST_FACTOR, _LEGIBLE_PX // max(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
