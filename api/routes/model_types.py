"""Model types and their contracts."""

from functools import cache

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api.openapi import answers
from api.parameters import ModelTypePath
from api.responses import json_response, page_response
from api.schemas.pages import ModelTypePage
from api.schemas.resources import Demo, ModelType, Preset
from api.tags import MODEL_TYPES
from shared import model_types
from shared.errors import NotFound

routes = APIBlueprint("model_types", __name__, url_prefix="/v1/model-types", abp_tags=[MODEL_TYPES])


@routes.get("", responses=answers({200: ModelTypePage}))
def list_model_types() -> Response:
    """List model types with the JSON Schemas of their options and every value of their presets."""
    data = [_shown(name) for name in sorted(model_types.REGISTRY)]
    return page_response(ModelTypePage(data=data, has_more=False), next_after=None)


@routes.get("/<name>", responses=answers({200: ModelType}, 404))
def get_model_type(path: ModelTypePath) -> Response:
    """Describe one model type."""
    if path.name not in model_types.REGISTRY:
        raise NotFound(f"There is no model type {path.name!r}.")
    return json_response(_shown(path.name))


@cache
def _shown(name: str) -> ModelType:
    model_type = model_types.REGISTRY[name]
    return ModelType(
        name=model_type.name,
        title=model_type.title,
        summary=model_type.summary,
        data_kind=model_type.data_kind,
        default_dataset=model_type.default_dataset,
        formats=list(model_type.formats),
        metrics=list(model_type.metrics),
        quality=list(model_type.quality),
        presets=[
            Preset(name=preset, hyperparameters=model_type.resolve(preset, {}).model_dump(mode="json"))
            for preset in model_type.presets
        ],
        hyperparameters_schema=model_type.hyperparameters.model_json_schema(),
        sampling_schema=model_type.sampling.json_schema(),
        demo=Demo(
            fallback_dataset=model_type.fallback_dataset,
            hyperparameters=dict(model_type.demo),
            sampling=dict(model_type.demo_sampling),
        ),
    )
