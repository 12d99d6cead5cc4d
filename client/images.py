"""Display of images: half-block characters in a terminal, enlarged contact sheets as files."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from rich.color import Color
from rich.segment import Segment, Segments
from rich.style import Style

UPPER_HALF = "▀"
PAPER, INK = "white", "black"


def half_blocks(png: bytes, *, columns: int, rows: int) -> Segments:
    """A picture as coloured characters, each showing two pixels one above the other: `▀` in 24-bit colour.

    The picture is reduced to fit columns × rows characters, and never enlarged beyond two characters a pixel.
    """
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    scale = min(columns / image.width, 2 * rows / image.height, 2)
    width, height = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    resampling = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
    pixels = image.resize((width, height + height % 2), resampling).load()
    assert pixels is not None
    segments = []
    for y in range(0, height, 2):
        for x in range(width):
            style = Style(color=_color(pixels[x, y]), bgcolor=_color(pixels[x, y + 1]))
            segments.append(Segment(UPPER_HALF, style))
        segments.append(Segment.line())
    return Segments(segments)


def _color(pixel: float | tuple[int, ...]) -> Color:
    assert isinstance(pixel, tuple), "an RGB image has tuples"
    red, green, blue = pixel
    return Color.from_rgb(red, green, blue)


def enlarged(png: bytes, *, at_least: int = 560) -> Image.Image:
    """A picture in whole-number magnification, its longer side at least `at_least` pixels."""
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    factor = max(1, -(-at_least // max(image.size)))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def sheet_of(pixels: bytes, shape: tuple[int, int, int], columns: int) -> bytes:
    """A PNG with images of uint8 [images, channels, height, width], row by row. shape: of one image."""
    channels, height, width = shape
    mode, plane = "L" if channels == 1 else "RGB", height * width
    each = [pixels[i : i + channels * plane] for i in range(0, len(pixels), channels * plane)]
    sheet = Image.new(mode, (columns * width, -(-len(each) // columns) * height))
    for place, image in enumerate(each):
        bands = [Image.frombytes("L", (width, height), image[c * plane : (c + 1) * plane]) for c in range(channels)]
        picture = bands[0] if channels == 1 else Image.merge(mode, bands)
        sheet.paste(picture, (place % columns * width, place // columns * height))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def contact_sheet(
    panels: Sequence[tuple[str, Image.Image | str]], *, width: int = 640, margin: int = 16
) -> Image.Image:
    """Panels, each a title over a picture or a text, one below the other on white."""
    title_font, text_font = ImageFont.load_default(20), ImageFont.load_default(15)
    blocks = [_block(title, content, width, title_font, text_font) for title, content in panels]
    height = sum(block.height for block in blocks) + margin * (len(blocks) + 1)
    sheet = Image.new("RGB", (width + 2 * margin, height), PAPER)
    top = margin
    for block in blocks:
        sheet.paste(block, (margin, top))
        top += block.height + margin
    return sheet


Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _block(title: str, content: Image.Image | str, width: int, title_font: Font, text_font: Font) -> Image.Image:
    """One panel: the title, and below it the picture as wide as the sheet, or the text wrapped to it."""
    if isinstance(content, str):
        body = _text_image(content, width, text_font)
    else:
        body = content.resize((width, round(content.height * width / content.width)), Image.Resampling.LANCZOS)
    block = Image.new("RGB", (width, body.height + 32), PAPER)
    ImageDraw.Draw(block).text((0, 2), title, fill=INK, font=title_font)
    block.paste(body, (0, 32))
    return block


def _text_image(text: str, width: int, font: Font) -> Image.Image:
    lines = [part for line in text.splitlines() for part in _wrapped(line, width, font)]
    image = Image.new("RGB", (width, 20 * len(lines) + 4), PAPER)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        draw.text((0, 20 * number), line, fill=INK, font=font)
    return image


def _wrapped(line: str, width: int, font: Font) -> list[str]:
    """A line in pieces that fit the width, broken between words where there are any."""
    pieces, rest = [], line
    while font.getlength(rest) > width:
        end = len(rest)
        while end > 1 and font.getlength(rest[:end]) > width:
            end -= 1
        space = rest.rfind(" ", 1, end)
        end = space if space > 0 else end
        pieces.append(rest[:end])
        rest = rest[end:].lstrip()
    return [*pieces, rest]
