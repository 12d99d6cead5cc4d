"""Limits of uploaded images, and the errors that name them."""

from shared.errors import SpecError

MAX_IMAGES = 100_000
MAX_FILES = 65_535  # of a zip: its classic directory counts no further
MAX_DIRECTORY_BYTES = 12 << 20  # of a zip
MAX_CLASSES = 1_000
MAX_CLASS_NAME = 100
MAX_FILE_BYTES = 32 << 20  # of one picture in its file
MAX_PIXELS = 12_500_000  # of one picture
MAX_TOTAL_PIXELS = 1_000_000_000
MIN_SIDE = 4
MAX_PREPARED_BYTES = 512 << 20
UNPACKED_RATIO = 8  # bytes unpacked, for each byte of the largest upload
SIZES = range(16, 129, 4)  # of prepared images; the networks halve them twice
TEST_SHARE = 5  # every fifth image of a class is for the test


def default_size(channels: int) -> int:
    """Height and width of prepared images: MNIST's in grey, CIFAR's in colour."""
    return 28 if channels == 1 else 32


def test_count(images: int) -> int:
    """Test images of a class with so many images, at least two."""
    return max(1, images // TEST_SHARE)


def refused(detail: str, code: str) -> SpecError:
    """The error of an upload."""
    return SpecError.at("/file", detail, code)


def shown(name: str) -> str:
    """A name from an archive, shortened and printable."""
    printable = "".join(character if character.isprintable() else "?" for character in name)
    return f"`{printable if len(printable) <= 100 else printable[:97] + '...'}`"
