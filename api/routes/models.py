"""Models that training jobs published, and models from files."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import model_uploads, serializers
from api.openapi import answers, body
from api.parameters import ModelPath, ModelsQuery
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.pages import ModelPage
from api.schemas.resources import Model
from api.tags import MODELS
from api.upload_form import MEDIA_TYPE
from api.urls import url
from shared.services import imported_models, models

routes = APIBlueprint("models", __name__, url_prefix="/v1/models", abp_tags=[MODELS])


@routes.get("", responses=answers({200: ModelPage}, 422, headers=("Link",)))
def list_models(query: ModelsQuery) -> Response:
    """List models, newest first."""
    with runtime().reading() as session:
        rows, has_more = models.list_page(session, model_type=query.model_type, limit=query.limit, after=query.after)
        data = [serializers.model(row) for row in rows]
    return page_response(ModelPage(data=data, has_more=has_more), next_after=data[-1].id if has_more else None)


@routes.get("/<id>", responses=answers({200: Model}, 404))
def get_model(path: ModelPath) -> Response:
    """Show a model with its origin and its quality."""
    with runtime().reading() as session:
        return json_response(serializers.model(models.get(session, path.id)))


@routes.post(
    "",
    request_body=body("ModelUpload", MEDIA_TYPE),
    responses=answers({201: Model}, 400, 413, 415, 422, headers=("Location",)),
)
def import_model() -> Response:
    """Import a model that `GET /v1/models/{id}/export` wrote as safetensors, here or on another server.

    The file is checked before it is accepted: its configuration, the name and shape of each tensor, and that all values
    are finite. Pickles are not read.
    """
    current = runtime()
    model_id = model_uploads.receive_and_store(current)
    with current.reading() as session:
        answer = serializers.model(models.get(session, model_id))
    response = json_response(answer, 201)
    response.headers["Location"] = url(f"/v1/models/{model_id}")
    return response


@routes.delete("/<id>", responses=answers({204: None}, 404, 409))
def delete_model(path: ModelPath) -> Response:
    """Delete an imported model with its exports. 409 for a model of a training job, which is deleted with its job.

    A ready-made model belongs to every owner; its deletion needs the scope `admin`.
    """
    with runtime().writing() as session:
        imported_models.delete(session, path.id)
    return Response(status=204)
