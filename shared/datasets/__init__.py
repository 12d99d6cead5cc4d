"""The registry of named datasets: the places and sources of their files. Without torch, because the API imports it."""

from shared.datasets.base import HELD_OUT_FRACTION, DatasetInfo, DatasetShape, Source
from shared.datasets.images import IMAGES
from shared.datasets.places import availability, locate
from shared.datasets.texts import TEXTS

__all__ = [
    "HELD_OUT_FRACTION",
    "REGISTRY",
    "DatasetInfo",
    "DatasetShape",
    "Source",
    "availability",
    "locate",
]

REGISTRY: dict[str, DatasetInfo] = {info.name: info for info in (*IMAGES, *TEXTS)}
