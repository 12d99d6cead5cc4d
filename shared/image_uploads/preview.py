"""A picture of uploaded images as a training will see them: one row for each of the first classes."""

import io

from PIL import Image, ImageOps

from shared.image_uploads.limits import MAX_PIXELS
from shared.image_uploads.pictures import decoding, opened, repaired

FILE = "preview.png"
ROWS, COLUMNS = 10, 8
_KEPT = 128  # height and width of a kept picture
_MOST_PIXELS = MAX_PIXELS // 4  # of a picture that is repaired in full; others are reduced first
_CELL = 56  # least height and width of a shown picture
_GAP = 2


class Preview:
    """Keeps the first pictures of the first classes, reduced, until their final size is known."""

    def __init__(self) -> None:
        self._rows: dict[int, list[Image.Image]] = {}

    def wants(self, label: int) -> bool:
        """Whether the row of a class has space."""
        return label < ROWS and len(self._rows.get(label, ())) < COLUMNS

    def add(self, label: int, name: str, data: bytes) -> None:
        """Keep a picture whose file has been decoded before. name: for messages."""
        with decoding(name), opened(data) as image:
            image.draft(image.mode, (_KEPT, _KEPT))
            if image.width * image.height > _MOST_PIXELS:
                image.thumbnail((4 * _KEPT, 4 * _KEPT), Image.Resampling.NEAREST)
            whole = repaired(image, 3)
        side = min(_KEPT, *whole.size)
        kept = ImageOps.fit(whole, (side, side), Image.Resampling.BILINEAR)
        self._rows.setdefault(label, []).append(kept)

    def png(self, size: int, channels: int) -> bytes:
        """The picture as a file. Small images are enlarged by whole pixels."""
        scale = -(-_CELL // size)
        cell = size * scale
        width, height = (count * (cell + _GAP) - _GAP for count in (COLUMNS, max(1, len(self._rows))))
        sheet = Image.new("L" if channels == 1 else "RGB", (width, height), "white")
        for row, label in enumerate(sorted(self._rows)):
            for column, kept in enumerate(self._rows[label]):
                small = kept.resize((size, size), Image.Resampling.BILINEAR).convert(sheet.mode)
                shown = small.resize((cell, cell), Image.Resampling.NEAREST)
                sheet.paste(shown, (column * (cell + _GAP), row * (cell + _GAP)))
        file = io.BytesIO()
        sheet.save(file, "PNG")
        return file.getvalue()
