"""JSON Schemas of what the POST routes take: one training request per model type, with its own hyperparameters."""

from typing import Any

from pydantic.json_schema import JsonSchemaValue

from shared import model_types
from shared.model_types import ModelType
from shared.specs import GenerationRequest, TrainingRequest

Components = dict[str, JsonSchemaValue]

DATASET_UPLOAD: JsonSchemaValue = {
    "type": "object",
    "title": "DatasetUpload",
    "required": ["name", "kind", "file"],
    "additionalProperties": False,
    "properties": {
        "name": {
            "type": "string",
            "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$",
            "description": "Name to train on it by; must not be taken.",
        },
        "kind": {"type": "string", "enum": ["text"]},
        "file": {"type": "string", "format": "binary", "description": "UTF-8 text."},
    },
}


def request_schemas(ref_template: str) -> Components:
    """Component schemas by name: `TrainingRequest` (one per type), `GenerationRequest`, `DatasetUpload`, parts."""
    components: Components = {"DatasetUpload": DATASET_UPLOAD}
    training = _hoist(TrainingRequest.model_json_schema(ref_template=ref_template), components)
    generation = _hoist(GenerationRequest.model_json_schema(ref_template=ref_template), components)
    mapping: dict[str, str] = {}
    samplings: list[JsonSchemaValue] = []
    for model_type in model_types.REGISTRY.values():
        prefix = model_type.name.title().replace("-", "")
        hyperparameters, sampling = _parts(model_type, ref_template, components)
        components[f"{prefix}Hyperparameters"] = hyperparameters
        components[f"{prefix}Sampling"] = sampling
        components[f"{prefix}TrainingRequest"] = _training_request(training, model_type, ref_template, prefix)
        mapping[model_type.name] = ref_template.format(model=f"{prefix}TrainingRequest")
        samplings.append({"$ref": ref_template.format(model=f"{prefix}Sampling")})
    components["TrainingRequest"] = {
        "title": "TrainingRequest",
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "model_type", "mapping": mapping},
    }
    sampling_of_any = {"anyOf": samplings, "default": {}, "description": "Sampling parameters of the model's type."}
    generation["properties"] = {**generation["properties"], "sampling": sampling_of_any}
    components["GenerationRequest"] = generation
    return components


def _training_request(base: JsonSchemaValue, model_type: ModelType, ref_template: str, prefix: str) -> JsonSchemaValue:
    hyperparameters = {
        "allOf": [{"$ref": ref_template.format(model=f"{prefix}Hyperparameters")}],
        "default": {},
        "description": "Overrides of the preset's values.",
    }
    own = {
        "model_type": {"type": "string", "const": model_type.name},
        "preset": {**base["properties"]["preset"], "enum": list(model_type.presets)},
        "hyperparameters": hyperparameters,
    }
    return {**base, "title": f"{prefix}TrainingRequest", "properties": {**base["properties"], **own}}


def _parts(model_type: ModelType, ref_template: str, components: Components) -> tuple[JsonSchemaValue, JsonSchemaValue]:
    """Schemas of a type's hyperparameters and sampling parameters; what they refer to goes into `components`."""
    hyperparameters = _hoist(model_type.hyperparameters.model_json_schema(ref_template=ref_template), components)
    hyperparameters.pop("required", None)  # the preset fills in what is left out
    sampling = _hoist(model_type.sampling.json_schema(ref_template=ref_template), components)
    return hyperparameters, sampling


def _hoist(schema: dict[str, Any], components: Components) -> JsonSchemaValue:
    """Move `$defs` of a schema into the components. Two different definitions of one name are a programmer's error."""
    schema = dict(schema)
    for name, definition in schema.pop("$defs", {}).items():
        assert components.setdefault(name, definition) == definition, f"two schemas are called {name}"
    return schema
