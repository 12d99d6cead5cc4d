"""The OpenAPI 3.1 document: exact JSON Schemas of the responses, and of the options of each model type."""

from collections.abc import Mapping
from typing import Any

from flask_openapi.openapi import OpenAPI
from flask_openapi.types import ResponseDict
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.request_schemas import request_schemas
from api.schemas import ANSWERS
from api.schemas.problem import Problem

REF_TEMPLATE = "#/components/schemas/{model}"
JSON = "application/json"
PROBLEM = "application/problem+json"
JsonDict = dict[str, Any]

PROBLEMS = {
    400: "The body is not valid JSON, or not a valid form.",
    401: "The server needs an API key (`MIMEO_AUTH=required`), and the request has no valid one.",
    403: "The API key lacks the scope, or a web page of another origin sent the request.",
    404: "The resource does not exist.",
    409: "The current state does not permit the operation.",
    413: "The body exceeds the limit of this server.",
    415: "The media type is not supported.",
    416: "The range is outside the file.",
    421: "The request names a host that is not this server's; `MIMEO_ALLOWED_HOSTS` adds names.",
    422: "The request is invalid; `errors` names the fields.",
    429: "A quota is reached: requests a minute, or waiting jobs. `Retry-After` gives the seconds until the next.",
    500: "The file is damaged or could not be created; `detail` names the remedy.",
    503: "The database or the storage does not respond.",
    507: "The disk is full, or has too little space for the request.",
}
FILE: JsonDict = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
HEADERS: dict[str, JsonDict] = {
    "Idempotency-Replayed": {
        "description": "`true` when an earlier request with the same `Idempotency-Key` created the job.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Content-Disposition": {"description": "File name.", "schema": {"type": "string"}},
    "ETag": {"description": "Changes with the content.", "schema": {"type": "string"}},
    "Link": {"description": 'RFC 8288 link to the next page, `rel="next"`.', "schema": {"type": "string"}},
    "Location": {"description": "Address of the resource.", "schema": {"type": "string", "format": "uri-reference"}},
    "Retry-After": {"description": "Seconds until the next request.", "schema": {"type": "string"}},
    "Preference-Applied": {"description": "The `Prefer` that was honoured.", "schema": {"type": "string"}},
}


def reference(model: type[BaseModel] | str) -> JsonDict:
    """`$ref` to a component schema."""
    return {"$ref": REF_TEMPLATE.format(model=model if isinstance(model, str) else model.__name__)}


PROBLEM_CONTENT: JsonDict = {"content": {PROBLEM: {"schema": reference(Problem)}}}


def answers(
    success: Mapping[int, type[BaseModel] | tuple[type[BaseModel], ...] | None],
    *problems: int,
    headers: tuple[str, ...] = (),
) -> ResponseDict:
    """The responses of a route: its results by status, then its problems. Every route may respond with 503 and 507.

    success: models by status; several are alternatives.
    """
    documented: ResponseDict = {}
    for status, model in success.items():
        response: JsonDict = {"headers": {name: HEADERS[name] for name in headers}} if headers else {}
        if model is not None:
            several = {"oneOf": [reference(each) for each in model]} if isinstance(model, tuple) else reference(model)
            response["content"] = {JSON: {"schema": several}}
        documented[str(status)] = response
    for status in (*problems, 503, 507):
        documented.setdefault(str(status), {"description": PROBLEMS[status], **PROBLEM_CONTENT})
    return documented


def stream_answers(*problems: int) -> ResponseDict:
    """The responses of a stream of server-sent events."""
    stream: JsonDict = {"content": {"text/event-stream": {}}}
    return answers({}, *problems) | {"200": stream}


def body(schema: type[BaseModel] | str, media_type: str = JSON) -> JsonDict:
    """A required request body."""
    return {"required": True, "content": {media_type: {"schema": reference(schema)}}}


def operation_id(*, name: str, path: str, method: str) -> str:  # noqa: ARG001 - flask-openapi passes all three
    """The view's name: readable in generated clients."""
    return name


class DocumentedApi(OpenAPI):
    """flask-openapi's application, with component schemas as pydantic writes them.

    The models of flask-openapi have only the keywords of OpenAPI 3.0. Version 3.1 is JSON Schema 2020-12, the format of
    pydantic.
    """

    def __init__(self, import_name: str, **kwargs: Any) -> None:
        super().__init__(import_name, operation_id_callback=operation_id, **kwargs)
        self.openapi_version = "3.1.0"

    def generate_spec_json(self) -> None:
        """Build the document; called once, before the first request."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        for path in self.spec_json["paths"].values():
            for operation in path.values():
                responses = operation["responses"]
                if PROBLEM not in responses.get("422", {}).get("content", {}):
                    responses.pop("422", None)
                for status in (401, 403, 421, 429):
                    responses[str(status)] = {"description": PROBLEMS[status], **PROBLEM_CONTENT}
        self.spec_json["components"]["schemas"] = _component_schemas()


def _component_schemas() -> JsonDict:
    models = [(model, "serialization") for model in ANSWERS]
    _, document = models_json_schema(models, ref_template=REF_TEMPLATE)  # type: ignore[arg-type] # Literal in a list
    return {**document["$defs"], **request_schemas(REF_TEMPLATE, others=document["$defs"])}
