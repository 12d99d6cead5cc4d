"""Images as the models use them."""

import math

from torch import Tensor

CHUNK = 500  # images a network draws at a time when nothing has to be learned from them


def unit(images: Tensor) -> Tensor:
    """uint8 0..255 to float32 0..1."""
    return images.float() / 255


def near_square(count: int) -> tuple[int, int]:
    """Rows and columns that hold `count` pictures and are about as many."""
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns
