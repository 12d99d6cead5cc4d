"""Stored files as responses."""

from flask import Response, request
from werkzeug.http import dump_options_header
from werkzeug.wsgi import wrap_file

from api.weights_file import WeightsFile
from shared.db.tables import Artifact, Model
from shared.errors import MimeoError, NotFound
from shared.exports import OCTETS
from shared.storage import Storage

WEIGHTS = "model.safetensors"


def file_response(storage: Storage, row: Artifact, *, download_as: str | None = None) -> Response:
    """An artifact's bytes, with its sha256 as ETag; `Range` and `If-None-Match` are understood.

    download_as: the name to save it under; without one it is to be looked at. Raises NotFound.
    """
    stream = storage.open(row.storage_key)
    response = Response(wrap_file(request.environ, stream), mimetype=row.media_type, direct_passthrough=True)
    response.call_on_close(stream.close)
    response.content_length = row.size
    response.set_etag(row.sha256)
    response.last_modified = row.created_at
    response.cache_control.no_cache = True  # ask again with the ETag: a run that resumes may write a sample anew
    kind = "attachment" if download_as else "inline"
    name = download_as or row.name.rsplit("/", 1)[-1]
    response.headers["Content-Disposition"] = dump_options_header(kind, {"filename": name})
    response.make_conditional(request, accept_ranges=True, complete_length=row.size)
    return response


def weights_key(model: Model) -> str:
    """Where a model's weights are stored."""
    return f"{model.checkpoint.storage_key.rstrip('/')}/{WEIGHTS}"


def weights_gone(model: Model) -> NotFound:
    """Why there is nothing to export."""
    return NotFound(f"The weights of {model.id} are gone from storage: there is nothing left to export.")


def weights_response(storage: Storage, model: Model, *, download_as: str) -> Response:
    """A model's weights as a file that says how to rebuild it. Raises NotFound, Damaged: before the first byte."""
    try:
        stream = storage.open(weights_key(model))
    except NotFound:
        raise weights_gone(model) from None
    try:
        file = WeightsFile(stream, model)
    except (MimeoError, OSError):
        stream.close()
        raise
    response = Response(iter(file), mimetype=OCTETS, direct_passthrough=True)
    response.call_on_close(stream.close)
    response.content_length = file.size
    response.set_etag(file.etag)
    response.last_modified = model.created_at
    response.cache_control.no_cache = True
    response.headers["Content-Disposition"] = dump_options_header("attachment", {"filename": download_as})
    response.make_conditional(request)
    if request.method == "HEAD" or response.status_code == 304:
        stream.close()  # nobody iterates, and so nobody closes
    return response
