"""Artifacts: description and content."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import serializers
from api.files import file_response
from api.openapi import FILE, answers
from api.parameters import ArtifactPath
from api.responses import json_response
from api.runtime import runtime
from api.schemas.jobs import Artifact
from api.tags import ARTIFACTS
from shared.services import artifacts

routes = APIBlueprint("artifacts", __name__, url_prefix="/v1/artifacts", abp_tags=[ARTIFACTS])


@routes.get("/<id>", responses=answers({200: Artifact}, 404))
def get_artifact(path: ArtifactPath) -> Response:
    """Describe an artifact."""
    with runtime().reading() as session:
        return json_response(serializers.artifact(artifacts.get(session, path.id)))


@routes.get(
    "/<id>/content",
    responses={"200": dict(FILE), "206": dict(FILE), **answers({304: None}, 404, 416)},
)
def get_artifact_content(path: ArtifactPath) -> Response:
    """Download an artifact. Its ETag is the sha256; `Range` and `If-None-Match` are supported."""
    current = runtime()
    with current.reading() as session:
        row = artifacts.get(session, path.id)
    return file_response(current.storage, row)
