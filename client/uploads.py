"""Files and folders that become datasets."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO
from zipfile import ZIP_STORED, ZipFile

from rich import progress
from rich.markup import escape

from client.errors import BadInput
from client.files import open_file
from client.output import err
from client.terminal import printable

IMAGES, TEXT = "images", "text"
_ARCHIVES = {".zip", ".npz"}
SHOWN_BYTES = 1 << 20  # of a file whose progress is shown


def kind_of(path: Path) -> str:
    """`images` for a folder, a zip or an `.npz`, else `text`. Raises BadInput for a missing path."""
    if path.is_dir() or (path.is_file() and path.suffix.lower() in _ARCHIVES):
        return IMAGES
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file or folder")
    return TEXT


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """A file to send: the path itself, or a zip of a folder that is removed at the end of the block.

    Raises BadInput for a file that cannot be packed.
    """
    if not path.is_dir():
        yield path
        return
    with TemporaryDirectory() as folder:
        packed = Path(folder) / "images.zip"
        with ZipFile(packed, "w", ZIP_STORED, strict_timestamps=False) as archive:  # pictures are compressed already
            for file in sorted(path.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    _pack(file, file.relative_to(path), archive)
        yield packed


def _pack(file: Path, name: Path, archive: ZipFile) -> None:
    try:
        archive.write(file, name)
    except UnicodeEncodeError as error:
        raise BadInput(f"{file}: the name is not UTF-8; rename the file") from error
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or error}") from error


def with_progress(path: Path) -> AbstractContextManager[IO[bytes]]:
    """The file, open. A terminal shows the part of it that was read."""
    if not err.is_terminal or path.stat().st_size < SHOWN_BYTES:
        return open_file(path)
    name = escape(printable(path.name))
    return progress.open(path, "rb", description=f"Sending {name}", console=err, transient=True)


def image_fields(kind: str, size: int | None, colour: bool | None) -> dict[str, str | None]:
    """The fields of the form that images have. Raises BadInput for a text."""
    if kind == TEXT and (size is not None or colour is not None):
        raise BadInput("--size, --grey and --colour are for images")
    channels = None if colour is None else "3" if colour else "1"
    return {"size": None if size is None else str(size), "channels": channels}
