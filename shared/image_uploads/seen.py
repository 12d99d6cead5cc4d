"""Counts of the pictures of an upload."""

from collections import Counter
from dataclasses import dataclass, field

from shared.image_uploads import limits
from shared.image_uploads.limits import refused
from shared.image_uploads.pictures import Picture, Repair


@dataclass
class Seen:
    """Counts of the pictures so far. counts: by part and label. smallest, largest: width and height by area."""

    counts: Counter[tuple[str, int]] = field(default_factory=Counter)
    repairs: Counter[Repair] = field(default_factory=Counter)
    pixels: int = 0
    greys: int = 0
    oblongs: int = 0
    smallest: tuple[int, int] = (0, 0)
    largest: tuple[int, int] = (0, 0)

    @property
    def images(self) -> int:
        """Number of all pictures."""
        return sum(self.counts.values())

    def add(self, part: str, label: int, picture: Picture) -> None:
        """Count a picture. Raises SpecError once there are too many pixels in all."""
        size = (picture.width, picture.height)
        area = picture.width * picture.height
        if not self.images or area < self.smallest[0] * self.smallest[1]:
            self.smallest = size
        if area > self.largest[0] * self.largest[1]:
            self.largest = size
        self.counts[part, label] += 1
        self.repairs.update(picture.repairs)
        self.greys += picture.is_grey
        self.oblongs += picture.width != picture.height
        self.pixels += area
        if self.pixels > limits.MAX_TOTAL_PIXELS:
            detail = f"The pictures have more than {limits.MAX_TOTAL_PIXELS:,} pixels in all; make them smaller."
            raise refused(detail, "too_many_pixels")
