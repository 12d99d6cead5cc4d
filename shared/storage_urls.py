"""The file system of a storage URL."""

from pathlib import Path
from urllib.parse import urlsplit

import fsspec
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from shared.errors import SetupError

# s3fs tries each request five times, so botocore needs no retries of its own and no connection time-out of a minute.
_PATIENCE = {"s3": {"config_kwargs": {"connect_timeout": 5, "retries": {"total_max_attempts": 1}}}}


def filesystem_at(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL, and the path in it; a local folder is created.

    Raises SetupError for an unknown scheme, or a folder that cannot be created.
    """
    if url.startswith("file://"):  # fsspec would split the path at `::`
        filesystem, root = LocalFileSystem(), url.removeprefix("file://")
    else:
        try:
            filesystem, root = url_to_fs(url, **_PATIENCE.get(urlsplit(url).scheme, {}))
        except (ValueError, ImportError) as error:
            raise SetupError(f"MIMEO_STORAGE_URL cannot be used: {error}") from error
    if isinstance(filesystem, LocalFileSystem):
        _make_folder(Path(root))
    return filesystem, root


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"The storage folder {path} cannot be created: {error.strerror}.") from error
