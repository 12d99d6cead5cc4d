"""The datasets Mimeo knows by name: where their files belong and come from. Without torch, as the API lists them."""

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
