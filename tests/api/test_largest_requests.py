"""The largest values that the schemas permit fit into a request, for every model type."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.request_schemas import request_schemas
from shared import model_types
from shared.job_status import JobKind
from shared.model_types.base import MAX_NUMBERS
from tests.api.worker_hands import WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql

LONGEST_NUMBER = -1.2345678901234567e-300


def largest(schema: dict[str, Any]) -> Any:
    """The value of a schema that takes the most bytes as JSON."""
    special = [name for name in ("const", "anyOf") if name in schema]
    match special[0] if special else schema["type"]:
        case "const":
            return schema["const"]
        case "string":
            return "\N{GRINNING FACE}" * schema["maxLength"]
        case "integer" | "number" as kind:
            return LONGEST_NUMBER if kind == "number" and schema["minimum"] < 0 else schema["maximum"]
        case "anyOf":
            return max(map(largest, schema["anyOf"]), key=lambda value: len(json.dumps(value)))
        case "array" if "items" in schema:
            item = largest(schema["items"])
            if isinstance(item, list):  # latents: as many as permitted, with as many numbers as permitted
                item = item[: MAX_NUMBERS // schema["maxItems"]]
            return [item] * schema["maxItems"]
    return [largest(item) for item in schema["prefixItems"]]


def _needed(mode: dict[str, Any]) -> list[str]:
    return [name for name in mode["properties"] if name in mode.get("required", ()) or name == "mode"]


def largest_samplings(model_type: str) -> list[dict[str, Any]]:
    """For each field of each mode, the sampling with the field's largest values, one for each type of the field."""
    schema = model_types.get(model_type).sampling.json_schema()
    modes = [schema["$defs"][one["$ref"].rpartition("/")[2]] for one in schema.get("oneOf", [])] or [schema]
    found = []
    for mode in modes:
        properties = mode["properties"]
        start = {name: largest(properties[name].get("anyOf", [properties[name]])[0]) for name in _needed(mode)}
        for name, field in properties.items():
            options = [each for each in field.get("anyOf", [field]) if each.get("type") in {"array", "string"}]
            found += [{**start, name: largest(option)} for option in options]
    return found


@pytest.mark.parametrize("model_type", model_types.REGISTRY)
def test_largest_sampling_of_each_field_is_read(model_type: str, client: FlaskClient, worker: WorkerWrites) -> None:
    dataset = model_types.get(model_type).fallback_dataset
    client.post("/v1/training-jobs", json={"model_type": model_type, "dataset": dataset})
    model = worker.publish(worker.claim(JobKind.TRAINING))
    sizes = []
    for sampling in largest_samplings(model_type):
        request = {"model": model, "name": "\N{GRINNING FACE}" * 200, "sampling": sampling}
        body = json.dumps(request).encode()  # with escapes, which take more bytes than UTF-8
        response = client.post("/v1/generation-jobs", data=body, headers={"Content-Type": "application/json"})
        codes = {error["code"] for error in (response.get_json().get("errors") or [])}
        sizes.append(len(body))
        # A sampling of the schema may not fit this model: its latents, classes or characters.
        assert response.status_code in {202, 422}, (response.text[:300], len(body))
        assert codes <= {"wrong_length", "out_of_range", "too_much_memory", "too_large", "unknown", "conflict"}

    assert max(sizes) > 1_000_000 or model_type == "sketch"


def test_largest_texts_of_a_request_fit_together(client: FlaskClient) -> None:
    schema = request_schemas("#/{model}")["GenerationRequest"]["properties"]
    metadata = {f"{number}{'😀' * 62}": "😀" * 512 for number in range(10, 26)}
    request = {"model": "mdl_" + "0" * 26, "metadata": metadata, "name": "😀" * 200}
    assert set(request) <= set(schema)

    response = client.post("/v1/generation-jobs", json=request)
    assert [error["pointer"] for error in response.get_json()["errors"]] == ["/model"]
