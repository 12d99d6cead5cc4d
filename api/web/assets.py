"""Static files of the studio, under an address that changes with their content, so that browsers keep them for ever."""

import gzip
import hashlib
import mimetypes
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
_FOR_EVER = "public, max-age=31536000, immutable"
_SMALLEST_COMPRESSED = 500  # bytes
_IMPORT = re.compile(r"""(?:^|;)(?:import|export)\b[^"';]*["'](\.{1,2}/[^"']+)["']""", re.MULTILINE)

routes = Blueprint("assets", __name__, url_prefix="/studio")


@dataclass(frozen=True, kw_only=True)
class Asset:
    """One file as it is sent. compressed: its bytes after gzip; None where gzip gains nothing."""

    media_type: str
    content: bytes | None
    compressed: bytes | None


@cache
def digest() -> str:
    """Hexadecimal digits that change with any static file."""
    whole = hashlib.sha256()
    for path in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        whole.update(path.relative_to(STATIC).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


@cache
def _load(name: str) -> Asset | None:
    """The file `name` below `static`; None if there is none. A large file is kept as `name.gz` alone."""
    joined = safe_join(str(STATIC), name)
    if joined is None:
        return None
    path = Path(joined)
    packed = path.with_name(path.name + ".gz")
    media_type = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if packed.is_file():
        return Asset(media_type=media_type, content=None, compressed=packed.read_bytes())
    if not path.is_file():
        return None
    content = path.read_bytes()
    is_text = media_type.startswith(("text/", "image/svg"))
    compressed = gzip.compress(content, 9, mtime=0) if is_text and len(content) >= _SMALLEST_COMPRESSED else None
    return Asset(media_type=media_type, content=content, compressed=compressed)


@cache
def modules_of(name: str) -> tuple[str, ...]:
    """The modules that a module imports, directly or not, as names below `static`. A page preloads them at once."""
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        current = PurePosixPath(waiting.pop(0))
        for target in _IMPORT.findall((STATIC / current).read_text(encoding="utf-8")):
            path = posixpath.normpath((current.parent / target).as_posix())
            if path not in found and path != name:
                found[path] = None
                waiting.append(path)
    return tuple(found)


@routes.get("/<version>/<path:name>")
def get_asset(version: str, name: str) -> Response:
    """A static file. An address of an earlier version gets the current file, which the browser does not keep."""
    asset = _load(name)
    if asset is None:
        raise NotFound
    accepts_gzip = request.accept_encodings["gzip"] > 0
    if asset.compressed is not None and (accepts_gzip or asset.content is None):
        response = Response(asset.compressed, content_type=asset.media_type)
        response.headers["Content-Encoding"] = "gzip"
    else:
        response = Response(asset.content, content_type=asset.media_type)
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = _FOR_EVER if version == digest() else "no-store"
    return response
