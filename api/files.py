"""Stored files as responses."""

import hashlib
from datetime import datetime
from io import SEEK_END
from typing import IO

from flask import Response, request
from werkzeug.http import dump_options_header
from werkzeug.wsgi import wrap_file

from shared.db.tables import Artifact, Model
from shared.errors import Damaged, NotFound
from shared.exports import OCTETS
from shared.storage import Storage

WEIGHTS = "model.safetensors"
_CHUNK = 1 << 20


def file_response(storage: Storage, row: Artifact, *, download_as: str | None = None) -> Response:
    """An artifact's bytes, with its sha256 as ETag; `Range` and `If-None-Match` are supported.

    download_as: file name of a download; None: the content is shown inline. Raises NotFound.
    """
    stream = storage.open(row.storage_key)
    response = _conditional(stream, row.media_type, size=row.size, sha256=row.sha256, written_at=row.created_at)
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

    Raises NotFound, and Damaged before the first byte where the sha256 differs from the checkpoint's.
    """
    try:
        stream = storage.open(weights_key(model))
    except NotFound:
        raise weights_gone(model) from None
    try:
        _check_sha256(stream, model)
        size = stream.seek(0, SEEK_END)
        stream.seek(0)
    except (Damaged, OSError):
        stream.close()
        raise
    response = _conditional(stream, OCTETS, size=size, sha256=model.checkpoint.sha256, written_at=model.created_at)
    response.headers["Content-Disposition"] = dump_options_header("attachment", {"filename": download_as})
    return response


def _check_sha256(stream: IO[bytes], model: Model) -> None:
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != model.checkpoint.sha256:
        raise Damaged(f"The weights of {model.id} in storage have changed since they were written.")


def _conditional(stream: IO[bytes], media_type: str, *, size: int, sha256: str, written_at: datetime) -> Response:
    """The response to the current request from an open file of `size` bytes: 200, 206, 304 or 416."""
    response = Response(wrap_file(request.environ, stream), mimetype=media_type, direct_passthrough=True)
    response.call_on_close(stream.close)
    response.content_length = size
    response.set_etag(sha256)
    response.last_modified = written_at
    response.cache_control.no_cache = (
        True  # clients revalidate with the ETag, because a resumed run may replace a sample
    )
    response.make_conditional(request, accept_ranges=True, complete_length=size)
    if request.method == "HEAD" or response.status_code == 304:
        stream.close()  # the WSGI server does not iterate over the body, and so does not close it
    return response
