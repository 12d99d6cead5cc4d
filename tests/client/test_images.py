import io

from PIL import Image
from rich.console import Console

from client.images import contact_sheet, enlarged, half_blocks, sheet_of


def png(width: int, height: int) -> bytes:
    """A picture with different pixels: red grows to the right, green downwards."""
    image = Image.new("RGB", (width, height))
    image.putdata([(x * 10, y * 10, 0) for y in range(height) for x in range(width)])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def rendered(content: bytes, *, columns: int, rows: int) -> str:
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=True, color_system="truecolor", width=200)
    console.print(half_blocks(content, columns=columns, rows=rows))
    return buffer.getvalue()


def test_each_character_shows_two_pixels_in_24_bit_colour() -> None:
    lines = rendered(png(4, 4), columns=4, rows=2).splitlines()
    assert [line.count("▀") for line in lines if "▀" in line] == [4, 4]
    # Second character of the first line: pixel (1, 0) above pixel (1, 1).
    assert "\x1b[38;2;10;0;0;48;2;10;10;0m▀" in lines[0]


def test_picture_is_reduced_to_the_available_characters() -> None:
    lines = [line for line in rendered(png(20, 20), columns=10, rows=3).splitlines() if "▀" in line]
    assert len(lines) == 3
    assert {line.count("▀") for line in lines} == {6}


def test_picture_of_odd_height_keeps_its_last_row() -> None:
    lines = [line for line in rendered(png(3, 3), columns=3, rows=9).splitlines() if "▀" in line]
    assert len(lines) == 2


def test_small_picture_is_enlarged_by_a_whole_number_and_keeps_its_pixels() -> None:
    image = enlarged(png(28, 14), at_least=100)
    assert image.size == (112, 56)
    assert image.getpixel((4, 0)) == image.getpixel((7, 3)) == (10, 0, 0)


def test_contact_sheet_has_all_panels_in_order() -> None:
    red, blue = Image.new("RGB", (10, 10), "red"), Image.new("RGB", (20, 10), "blue")
    long_text = "the quick brown fox jumps over the lazy dog " * 8
    sheet = contact_sheet([("red", red), ("words", long_text), ("blue", blue)], width=200)
    assert sheet.width == 232
    column = [sheet.getpixel((150, y)) for y in range(sheet.height)]
    reds = [y for y, pixel in enumerate(column) if pixel == (255, 0, 0)]
    blues = [y for y, pixel in enumerate(column) if pixel == (0, 0, 255)]
    assert len(reds) == 200
    assert len(blues) == 100
    assert reds[-1] + 100 < blues[0]  # the text stands between them, wrapped to several lines


def test_sheet_has_each_image_at_its_place_in_its_colours() -> None:
    grey = bytes(range(6)) + bytes(range(10, 16)) + bytes(range(20, 26))  # three images of 2×3
    with Image.open(io.BytesIO(sheet_of(grey, (1, 2, 3), 2))) as image:
        assert image.size == (6, 4)
        assert [image.getpixel(place) for place in ((0, 0), (2, 1), (3, 0), (0, 2), (5, 3))] == [0, 5, 10, 20, 0]
    colour = bytes([9] * 4 + [8] * 4 + [7] * 4)
    with Image.open(io.BytesIO(sheet_of(colour, (3, 2, 2), 1))) as image:
        assert image.getpixel((1, 1)) == (9, 8, 7)
