"""Files and folders that become datasets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_STORED, ZipFile

from client.errors import BadInput

IMAGES, TEXT = "images", "text"
_ARCHIVES = {".zip", ".npz"}


def kind_of(path: Path) -> str:
    """`images` for a folder, a zip or an `.npz`, else `text`. Raises BadInput for a missing path."""
    if path.is_dir() or (path.is_file() and path.suffix.lower() in _ARCHIVES):
        return IMAGES
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file or folder")
    return TEXT


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """A file to send: the path itself, or a zip of a folder that is removed at the end of the block."""
    if not path.is_dir():
        yield path
        return
    with TemporaryDirectory() as folder:
        packed = Path(folder) / "images.zip"
        with ZipFile(packed, "w", ZIP_STORED) as archive:  # pictures are compressed already
            for file in sorted(path.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    archive.write(file, file.relative_to(path))
        yield packed


def image_fields(kind: str, size: int | None, colour: bool | None) -> dict[str, str | None]:
    """The fields of the form that images have. Raises BadInput for a text."""
    if kind == TEXT and (size is not None or colour is not None):
        raise BadInput("--size, --grey and --colour are for images")
    channels = None if colour is None else "3" if colour else "1"
    return {"size": None if size is None else str(size), "channels": channels}
