"""Picture files: their facts from a full decoding, and their repair. The API and the workers use the same Pillow."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image

from shared.errors import SpecError
from shared.image_uploads.limits import MAX_PIXELS, MIN_SIDE, refused, shown

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")
_GREY = frozenset({"1", "L", "LA", "I", "I;16", "I;16L", "I;16B"})
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_MODES = _GREY | _ALPHA | {"P", "RGB", "RGBX", "CMYK", "YCbCr"}
_SMALL = (64, 64)  # a JPEG is decoded to a fraction of its size, and checked as well
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Repair(StrEnum):
    """What the preparation changes in a picture beside its size. Values end the sentence "3 pictures were …"."""

    TURNED = "turned upright by the EXIF data"
    CMYK = "converted from CMYK"
    DEEP = "reduced from 16 to 8 bits"
    PALETTE = "converted from a palette"
    ALPHA = "put on white where transparent"
    FRAMES = "reduced to the first frame of an animation"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Facts of a picture file; width and height in pixels, upright. name: for messages."""

    name: str
    width: int
    height: int
    is_grey: bool
    repairs: frozenset[Repair]


def look(name: str, data: bytes) -> Picture:
    """Decode a picture file. Pixels are counted before they are decoded. Raises SpecError with the file's name."""
    with decoding(name), opened(data) as image:
        _check_size(name, *image.size)
        width, height = image.size
        if image.mode not in _MODES:
            raise refused(f"{shown(name)} holds floating-point numbers; save it as PNG or JPEG.", "unknown_format")
        repairs = _repairs(image)
        image.draft(image.mode, _SMALL)
        image.load()
        is_grey = _is_grey(image)
        corner = image.crop((0, 0, MIN_SIDE, MIN_SIDE))
        for channels in (1, 3):
            repaired(corner, channels)
        if Repair.TURNED in repairs and _orientation(image) >= 5:
            width, height = height, width
    return Picture(name=name, width=width, height=height, is_grey=is_grey, repairs=repairs)


@contextmanager
def decoding(name: str) -> Iterator[None]:
    """Turn the errors of Pillow into a refusal that names the file."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many_pixels(name) from error
    except SpecError:
        raise
    except Exception as error:
        detail = f"{shown(name)} cannot be read as a picture (PNG, JPEG, WebP, BMP, GIF or PPM); replace or remove it."
        raise refused(detail, "unreadable_image") from error


def opened(data: bytes) -> Image.Image:
    """A picture file whose pixels are not decoded yet."""
    return Image.open(io.BytesIO(data), formats=_FORMATS)


def repaired(image: Image.Image, channels: int) -> Image.Image:
    """An opened picture upright, with 8 bits in 1 (grey) or 3 channels (RGB), and white where it is transparent."""
    upright = _UPRIGHT.get(_orientation(image))
    if upright is not None:
        image = image.transpose(upright)
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        image.info.pop("transparency", None)  # a level of 16 bits
    if _is_transparent(image):
        coloured = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)
    if image.mode in {"CMYK", "P"}:
        image = image.convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_many_pixels(name)
    if min(width, height) < MIN_SIDE:
        detail = f"{shown(name)} has {width}×{height} pixels; each side needs at least {MIN_SIDE}."
        raise refused(detail, "too_small")


def _too_many_pixels(name: str) -> SpecError:
    return refused(f"{shown(name)} has more than {MAX_PIXELS:,} pixels; make it smaller.", "too_many_pixels")


def _repairs(image: Image.Image) -> frozenset[Repair]:
    found = {
        Repair.TURNED: _orientation(image) in _UPRIGHT,
        Repair.CMYK: image.mode == "CMYK",
        Repair.DEEP: image.mode.startswith("I"),
        Repair.PALETTE: image.mode in {"P", "PA"},
        Repair.ALPHA: _is_transparent(image),
        Repair.FRAMES: getattr(image, "is_animated", False),
    }
    return frozenset(repair for repair, is_needed in found.items() if is_needed)


def _is_transparent(image: Image.Image) -> bool:
    return image.mode in _ALPHA or "transparency" in image.info


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where the data is missing or damaged."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow's reader raises many types, and the picture itself may be good
        return 1
    return found if isinstance(found, int) else 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = image.getpalette("RGB") or []
        return palette[0::3] == palette[1::3] == palette[2::3]
    return image.mode in _GREY
