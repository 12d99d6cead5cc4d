"""Artifacts: what a file is, and the file."""

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from werkzeug.http import dump_options_header
from werkzeug.wsgi import wrap_file

from api import serializers
from api.documents import answers
from api.parameters import ArtifactPath
from api.responses import json_response
from api.runtime import runtime
from api.schemas.jobs import Artifact
from api.tags import ARTIFACTS
from shared.services import artifacts

routes = APIBlueprint("artifacts", __name__, url_prefix="/v1/artifacts", abp_tags=[ARTIFACTS])


@routes.get("/<id>", responses=answers({200: Artifact}, 404))
def get_artifact(path: ArtifactPath) -> Response:
    """What a file is and what it shows."""
    with runtime().reading() as session:
        return json_response(serializers.artifact(artifacts.get(session, path.id)))


_FILE = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}


@routes.get(
    "/<id>/content",
    responses={"200": dict(_FILE), "206": dict(_FILE), **answers({304: None}, 404, 416)},
)
def get_artifact_content(path: ArtifactPath) -> Response:
    """The file. Its ETag is its sha256; `Range` and `If-None-Match` are understood."""
    current = runtime()
    with current.reading() as session:
        row = artifacts.get(session, path.id)
    stream = current.storage.open(row.storage_key)
    response = Response(wrap_file(request.environ, stream), mimetype=row.media_type, direct_passthrough=True)
    response.call_on_close(stream.close)
    response.content_length = row.size
    response.set_etag(row.sha256)
    response.last_modified = row.created_at
    response.cache_control.no_cache = True  # ask again with the ETag: a run that resumes may write a sample anew
    response.headers["Content-Disposition"] = dump_options_header("inline", {"filename": row.name.rsplit("/", 1)[-1]})
    response.make_conditional(request, accept_ranges=True, complete_length=row.size)
    return response
