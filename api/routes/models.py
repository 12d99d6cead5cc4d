"""Models that training jobs published."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api import serializers
from api.openapi import answers
from api.parameters import ModelPath, ModelsQuery
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.pages import ModelPage
from api.schemas.resources import Model
from api.tags import MODELS
from shared.services import models

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
