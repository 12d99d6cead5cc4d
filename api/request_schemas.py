"""JSON Schemas of the request bodies: one training request per model type, with its own hyperparameters."""

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import JsonSchemaValue

from shared import model_types
from shared.dataset_requests import MAX_DESCRIPTION, DatasetChange
from shared.image_uploads.limits import SIZES, default_size
from shared.model_types import ModelType
from shared.specs import Cancellation, GenerationRequest, JobChanges, Login, TrainingRequest

Components = dict[str, JsonSchemaValue]

_UPLOADED: dict[str, JsonSchemaValue] = {
    "kind": {"type": "string", "enum": ["text", "images"]},
    "description": {"type": "string", "maxLength": MAX_DESCRIPTION, "description": "Free text for people."},
    "size": {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": f"Height and width of the prepared images, a multiple of {SIZES.step} from {SIZES[0]} to "
        f"{SIZES[-1]}. By default {default_size(1)} in grey and {default_size(3)} in colour.",
    },
    "channels": {
        "type": "string",
        "enum": ["1", "3"],
        "description": "1: grey, 3: colour. By default grey where all pictures are.",
    },
    "file": {
        "type": "string",
        "format": "binary",
        "description": "Text: UTF-8. Images: a zip of class folders or of IDX files, or an `.npz` with `images` and "
        "`labels`.",
    },
}
DATASET_UPLOAD: JsonSchemaValue = {
    "type": "object",
    "title": "DatasetUpload",
    "required": ["name", "kind", "file"],
    "additionalProperties": False,
    "properties": {
        "name": {
            "type": "string",
            "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$",
            "description": "Name for use as `dataset`; must be unused.",
        },
        **_UPLOADED,
    },
}
MODEL_UPLOAD: JsonSchemaValue = {
    "type": "object",
    "title": "ModelUpload",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 200, "description": "A display name."},
        "dataset": {
            "type": "string",
            "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$",
            "description": "That it was trained on, where the file does not name it.",
        },
        "file": {"type": "string", "format": "binary", "description": "As `GET /v1/models/{id}/export` writes it."},
    },
}
DATASET_REPLACEMENT: JsonSchemaValue = {
    "type": "object",
    "title": "DatasetReplacement",
    "required": ["file"],
    "additionalProperties": False,
    "properties": _UPLOADED,
}


class _Components(dict[str, JsonSchemaValue]):
    """Component schemas by name. No two different schemas share a name.

    others: components of the document that are defined elsewhere.
    """

    def __init__(self, ref_template: str, others: Mapping[str, JsonSchemaValue]) -> None:
        super().__init__()
        self._ref_template = ref_template
        self._others = others

    def _is_free(self, name: str, schema: JsonSchemaValue) -> bool:
        return schema == self.get(name, schema) == self._others.get(name, schema)

    def ref(self, name: str) -> JsonSchemaValue:
        """`$ref` to a component."""
        return {"$ref": self._ref_template.format(model=name)}

    def place(self, name: str, schema: JsonSchemaValue, prefix: str) -> str:
        """Add a schema under its name, or with `prefix` before it when another schema has the name.

        Returns the name.
        """
        while not self._is_free(name, schema):
            name = f"{prefix}{name}"
        self[name] = schema
        return name

    def hoist(self, schema: JsonSchemaValue, prefix: str) -> JsonSchemaValue:
        """Move `$defs` of a schema into the components, and return the schema with references to them."""
        definitions = schema.pop("$defs", {})
        names = {name: name for name in definitions}
        while True:
            references = {self.ref(old)["$ref"]: self.ref(new)["$ref"] for old, new in names.items()}
            moved = {name: _with_references(definition, references) for name, definition in definitions.items()}
            clashing = [name for name in names if not self._is_free(names[name], moved[name])]
            if not clashing:
                break
            names |= {name: f"{prefix}{names[name]}" for name in clashing}
        for name, definition in moved.items():
            self[names[name]] = definition
        hoisted: JsonSchemaValue = _with_references(schema, references)
        return hoisted


def _with_references(value: Any, references: Mapping[str, str]) -> Any:
    """A schema with its references replaced: values of `$ref` and of a discriminator's mapping."""
    match value:
        case dict():
            return {key: _with_references(item, references) for key, item in value.items()}
        case list():
            return [_with_references(item, references) for item in value]
        case str():
            return references.get(value, value)
        case _:
            return value


def request_schemas(ref_template: str, others: Mapping[str, JsonSchemaValue] | None = None) -> Components:
    """Component schemas by name: `TrainingRequest` (one per type), `GenerationRequest`, `DatasetUpload`, parts.

    others: the other components. A part of a model type whose name is in use gets the type's name before its own.
    """
    components = _Components(ref_template, others or {})
    components["DatasetUpload"] = DATASET_UPLOAD
    for model in (JobChanges, Cancellation, Login):
        components[model.__name__] = components.hoist(model.model_json_schema(ref_template=ref_template), "Job")
    components["ModelUpload"] = MODEL_UPLOAD
    components["DatasetReplacement"] = DATASET_REPLACEMENT
    components["DatasetChange"] = DatasetChange.model_json_schema()
    training = components.hoist(TrainingRequest.model_json_schema(ref_template=ref_template), "Training")
    generation = components.hoist(GenerationRequest.model_json_schema(ref_template=ref_template), "Generation")
    mapping: dict[str, str] = {}
    samplings: list[JsonSchemaValue] = []
    for model_type in model_types.REGISTRY.values():
        prefix = model_type.name.title().replace("-", "")
        hyperparameters, sampling = _parts(model_type, ref_template, components, prefix)
        request = _training_request(training, model_type, components.ref(hyperparameters), prefix)
        name = components.place(f"{prefix}TrainingRequest", request, prefix)
        mapping[model_type.name] = components.ref(name)["$ref"]
        samplings.append(components.ref(sampling))
    components["TrainingRequest"] = {
        "title": "TrainingRequest",
        "oneOf": [{"$ref": reference} for reference in mapping.values()],
        "discriminator": {"propertyName": "model_type", "mapping": mapping},
    }
    sampling_of_any = {"anyOf": samplings, "default": {}, "description": "Sampling parameters of the model's type."}
    generation["properties"] = {**generation["properties"], "sampling": sampling_of_any}
    components["GenerationRequest"] = generation
    return components


def _training_request(
    base: JsonSchemaValue, model_type: ModelType, hyperparameters: JsonSchemaValue, prefix: str
) -> JsonSchemaValue:
    own = {
        "model_type": {"type": "string", "const": model_type.name},
        "preset": {**base["properties"]["preset"], "enum": list(model_type.presets)},
        "hyperparameters": {
            "allOf": [hyperparameters],
            "default": {},
            "description": "Overrides of the preset's values.",
        },
    }
    return {**base, "title": f"{prefix}TrainingRequest", "properties": {**base["properties"], **own}}


def _parts(model_type: ModelType, ref_template: str, components: _Components, prefix: str) -> tuple[str, str]:
    """Names of the components with a type's hyperparameters and sampling parameters, which it adds."""
    hyperparameters = components.hoist(model_type.hyperparameters.model_json_schema(ref_template=ref_template), prefix)
    hyperparameters.pop("required", None)  # the preset supplies missing values
    sampling = components.hoist(model_type.sampling.json_schema(ref_template=ref_template), prefix)
    return (
        components.place(f"{prefix}Hyperparameters", hyperparameters, prefix),
        components.place(f"{prefix}Sampling", sampling, prefix),
    )
