"""Files from the server and to it."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO

import httpx

Opener = Callable[[Path], AbstractContextManager[IO[bytes]]]
"""Opens a file that is sent."""


def open_file(path: Path) -> AbstractContextManager[IO[bytes]]:
    """The file, open for reading."""
    return path.open("rb")


@dataclass(frozen=True)
class ExportedFile:
    """A model as a file. name: from the server, without a folder."""

    name: str
    content: bytes


def file_name(response: httpx.Response, otherwise: str) -> str:
    """The name in `Content-Disposition` (RFC 6266), never a path."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    return safe_name(header.get_filename() or otherwise) or otherwise


def safe_name(name: str) -> str:
    """The last part of a server's file name, in the characters that every file system and terminal has."""
    return re.sub(r"[^A-Za-z0-9._+=@-]", "_", Path(name).name)
