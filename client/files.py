"""Files from the server."""

from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import httpx


@dataclass(frozen=True)
class ExportedFile:
    """A model as a file. name: from the server, without a folder."""

    name: str
    content: bytes


def file_name(response: httpx.Response, otherwise: str) -> str:
    """The name in `Content-Disposition` (RFC 6266), never a path."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
    return Path(header.get_filename() or otherwise).name or otherwise
