"""Stored files as responses."""

import hashlib
import re
import tempfile
from collections.abc import Callable
from datetime import datetime
from functools import partial
from io import SEEK_END
from typing import IO

from flask import Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.http import dump_options_header
from werkzeug.wsgi import wrap_file

from api import request_slots
from shared.db.tables import Artifact, Model
from shared.errors import Damaged, MimeoError, NotFound
from shared.exports import OCTETS
from shared.storage import Storage

WEIGHTS = "model.safetensors"
_CHUNK = 1 << 20
_MOST_VERIFIED = 10_000
_ONE_RANGE = re.compile(r"bytes=(?:(?P<first>\d{1,18})-(?P<last>\d{1,18})?|-0*[1-9]\d{0,17})", re.IGNORECASE)
_verified: set[tuple[object, ...]] = set()  # states of files that were compared with their sha256


def file_response(storage: Storage, row: Artifact, *, download_as: str | None = None) -> Response:
    """An artifact's bytes, with its sha256 as ETag; `Range` and `If-None-Match` are supported.

    download_as: file name of a download; None: the content is shown inline. Raises NotFound.
    """
    stream = storage.open(row.storage_key)
    response = _conditional(
        stream,
        row.media_type,
        size=row.size,
        sha256=row.sha256,
        written_at=row.created_at,
        remote=_remote(storage, row.storage_key),
    )
    kind = "attachment" if download_as else "inline"
    name = download_as or row.name.rsplit("/", 1)[-1]
    response.headers["Content-Disposition"] = dump_options_header(kind, {"filename": name})
    return response


def weights_key(model: Model) -> str:
    """Storage key of a model's weights."""
    return f"{model.checkpoint.storage_key.rstrip('/')}/{WEIGHTS}"


def weights_gone(model: Model) -> NotFound:
    """The error when a model's weights are missing."""
    return NotFound(f"The weights of {model.id} are no longer in storage, so it cannot be exported.")


def weights_response(storage: Storage, model: Model, *, download_as: str) -> Response:
    """The weights file of a model's checkpoint, with its sha256 as ETag; `Range` and `If-None-Match` are supported.

    A local file is read and compared with the sha256 once in this process, and again after a change. A remote file is
    compared as it is read; a part of one, HEAD and 304 are not. Raises NotFound, and Damaged before the first byte
    where the sha256 differs from the checkpoint's.
    """
    key, sha256 = weights_key(model), model.checkpoint.sha256
    try:
        stream = storage.open(key)
    except NotFound:
        raise weights_gone(model) from None
    try:
        size = stream.seek(0, SEEK_END)
        stream.seek(0)
        response = _conditional(
            stream,
            OCTETS,
            size=size,
            sha256=sha256,
            written_at=model.created_at,
            remote=_remote(storage, key, sha256),
        )
        response.headers["Content-Disposition"] = dump_options_header("attachment", {"filename": download_as})
        is_local = storage.local_path(key) is not None
        is_read = is_local or not request_slots.sends_files()  # else the whole file was compared as it was copied
        if request.method == "GET" and (
            (response.status_code == 200 and is_read) or (response.status_code == 206 and is_local)
        ):
            _verify(storage, key, model)
    except (Damaged, OSError, HTTPException):
        stream.close()
        raise
    return response


def _to_verify(storage: Storage, key: str) -> set[int]:
    """Statuses of responses whose file is compared before the response. A remote file is compared as it is copied."""
    if storage.local_path(key) is not None:
        return {200, 206}
    return set() if request_slots.sends_files() else {200}


def _verify(storage: Storage, key: str, model: Model) -> None:
    """Compare a weights file with the sha256 of its checkpoint, unless this process has done so. Raises Damaged."""
    local = storage.local_path(key)
    found = local.stat() if local is not None else None
    state = (key, model.checkpoint.sha256, (found.st_ino, found.st_size, found.st_mtime_ns) if found else None)
    if state in _verified:
        return
    digest = hashlib.sha256()
    with storage.open(key) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != model.checkpoint.sha256:
        raise Damaged(f"The weights of {model.id} in storage have changed since they were written.")
    if len(_verified) >= _MOST_VERIFIED:
        _verified.clear()
    _verified.add(state)


def _conditional(
    stream: IO[bytes],
    media_type: str,
    *,
    size: int,
    sha256: str,
    written_at: datetime,
    remote: "_Copy | None",
) -> Response:
    """The response to the current request from an open file of `size` bytes: 200, 206, 304 or 416.

    The server sends a file, or a part of it, without a thread. Another WSGI server iterates over it.
    """
    content = wrap_file(request.environ, stream)
    response = Response(content, content_type=_content_type(media_type), direct_passthrough=True)
    response.call_on_close(stream.close)
    response.content_length = size
    response.set_etag(sha256)
    response.last_modified = written_at
    response.cache_control.no_cache = (
        True  # clients revalidate with the ETag, because a resumed run may replace a sample
    )
    try:
        response.make_conditional(request, accept_ranges=True, complete_length=size)
    except HTTPException:  # 416
        stream.close()
        raise
    if request.method == "HEAD" or response.status_code == 304:
        stream.close()  # the WSGI server does not iterate over the body, and so does not close it
    elif request_slots.sends_files():
        part = response.content_range if response.status_code == 206 else None
        start, length = (part.start or 0, (part.stop or size) - (part.start or 0)) if part else (0, size)
        if remote is not None:
            stream.close()
            response.response = wrap_file(request.environ, remote(start, length, is_whole=part is None))
        else:
            response.response = wrap_file(request.environ, stream)
            stream.seek(start)
    return response


_Copy = Callable[..., IO[bytes]]


def _remote(storage: Storage, key: str, sha256: str | None = None) -> _Copy | None:
    """A function that copies a part of a remote file; None for a local one. sha256: of the whole file, to compare."""
    return None if storage.local_path(key) is not None else partial(_copied, storage, key, sha256)


def _copied(storage: Storage, key: str, sha256: str | None, start: int, length: int, *, is_whole: bool) -> IO[bytes]:
    """A part of a remote file in a temporary file. The server's event loop sends files, and must not wait for reads.

    Only this part is read, a few megabytes at a time. Raises Damaged where the whole differs from `sha256`.
    """
    copy = tempfile.TemporaryFile()  # noqa: SIM115  the server closes it
    digest = hashlib.sha256()
    try:
        for piece in storage.pieces(key, start, length):
            copy.write(piece)
            digest.update(piece)
        if is_whole and sha256 is not None and digest.hexdigest() != sha256:
            raise Damaged(f"The stored file {key} has changed since it was written.")
    except (OSError, MimeoError):
        copy.close()
        raise
    copy.seek(0)
    return copy


def _content_type(media_type: str) -> str:
    """A media type as it is, with the charset of a text that has none."""
    has_charset = "charset=" in media_type.lower() or not media_type.startswith("text/")
    return media_type if has_charset else f"{media_type}; charset=utf-8"


def ignore_unsupported_ranges() -> None:
    """Remove a `Range` that RFC 9110 lets a server ignore: of another unit, malformed, of several ranges, or of HEAD.

    Runs before each request. One range of bytes remains, for files of any route.
    """
    given = request.environ.get("HTTP_RANGE")
    if given is None:
        return
    match = _ONE_RANGE.fullmatch(given.strip()) if request.method == "GET" else None
    if match is None or (match["last"] and int(match["first"]) > int(match["last"])):
        del request.environ["HTTP_RANGE"]
