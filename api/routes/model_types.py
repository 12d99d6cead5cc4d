"""Model types and their contracts."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api.model_type_listing import listed
from api.openapi import answers
from api.parameters import ModelTypePath
from api.responses import json_response, page_response
from api.schemas.pages import ModelTypePage
from api.schemas.resources import ModelType
from api.tags import MODEL_TYPES
from shared import model_types
from shared.errors import NotFound

routes = APIBlueprint("model_types", __name__, url_prefix="/v1/model-types", abp_tags=[MODEL_TYPES])


@routes.get("", responses=answers({200: ModelTypePage}))
def list_model_types() -> Response:
    """List model types with the JSON Schemas of their options and every value of their presets."""
    data = [listed(contract) for _, contract in sorted(model_types.REGISTRY.items())]
    return page_response(ModelTypePage(data=data, has_more=False), next_after=None)


@routes.get("/<name>", responses=answers({200: ModelType}, 404))
def get_model_type(path: ModelTypePath) -> Response:
    """Describe one model type."""
    if path.name not in model_types.REGISTRY:
        raise NotFound(f"There is no model type {path.name!r}.")
    return json_response(listed(model_types.REGISTRY[path.name]))
