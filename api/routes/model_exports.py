"""Downloads of models."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.types import ResponseDict

from api.dispatch import notify, notify_and_wait
from api.files import file_response, weights_gone, weights_key, weights_response
from api.openapi import FILE, HEADERS, PROBLEM_CONTENT, answers
from api.parameters import ConditionalHeaders, ExportQuery, ModelPath
from api.runtime import Runtime, runtime
from api.tags import MODELS
from shared import model_types
from shared.db.tables import GenerationJob, Model
from shared.errors import ExportFailed, ExportPending, SpecError
from shared.exports import ONNX, SAFETENSORS, part_file
from shared.job_status import JobStatus
from shared.services import artifacts, exports, models
from shared.spec_errors import nearest

WAIT_S = 20.0  # clients give up after 30 by default
routes = APIBlueprint("model_exports", __name__, url_prefix="/v1/models", abp_tags=[MODELS])

_FILE_HEADERS = {"headers": {"ETag": HEADERS["ETag"], "Content-Disposition": HEADERS["Content-Disposition"]}}
_PENDING = {"Retry-After": HEADERS["Retry-After"]}


def _responses() -> ResponseDict:
    documented: ResponseDict = {"200": {**FILE, **_FILE_HEADERS}, **answers({206: None, 304: None}, 404, 416, 422, 500)}
    description = (
        "The file is being created (`export_pending`): repeat after `Retry-After`. Or a server is unavailable."
    )
    documented["206"] = dict(FILE)
    documented["503"] = {**PROBLEM_CONTENT, "description": description, "headers": _PENDING}
    return documented


@routes.get("/<id>/export", responses=_responses())
def export_model(path: ModelPath, query: ExportQuery, header: ConditionalHeaders) -> Response:  # noqa: ARG001
    """Download a model: its weights, or an ONNX graph that runs without Mimeo.

    `safetensors`: the weights file of the published checkpoint, byte for byte, with the checkpoint's sha256 as ETag.
    Its `__metadata__` has one key, `mimeo`: JSON with the `model_type` and the `config` that rebuilds the model.
    `onnx`: a generation worker creates the file at the first request and compares its outputs with the model's.
    The response is delayed by up to 20 s. After that it is 503 `export_pending`; `curl --fail --retry 20` repeats it.
    Later requests are served from storage. The export is a generation job. If it failed, the response is its
    error until that job is deleted.
    """
    current = runtime()
    with current.reading() as session:
        model = models.get(session, path.id)
    name = f"{model.model_type}-{model.dataset}"
    if query.format == SAFETENSORS:
        if query.part is not None:
            raise SpecError.at("?part", "Only format=onnx has parts; leave `part` out.", "invalid")
        return weights_response(current.storage, model, download_as=f"{name}-{model.id}.safetensors")
    part = _part(model, query.part)
    job = _made(current, model)
    with current.reading() as session:
        found = {row.name: row for row in artifacts.by_job(session, [job.id]).get(job.id, ())}
    if part_file(part) not in found:
        raise ExportFailed(f"{job.id} did not create the part `{part}`. {_again(job)}")
    return file_response(current.storage, found[part_file(part)], download_as=f"{name}-{part}-{model.id}.onnx")


def _part(model: Model, requested: str | None) -> str:
    """The requested part, or the model type's first. Raises SpecError."""
    parts = model_types.get(model.model_type).onnx_parts
    if not parts:
        raise SpecError.at("?format", f"A {model.model_type} has no ONNX form; use format=safetensors.", "unknown")
    if requested is not None and requested not in parts:
        detail = f"A {model.model_type} has no part `{requested[:64]}`.{nearest(requested, parts)}"
        raise SpecError.at("?part", detail, "unknown")
    return requested or parts[0]


def _made(current: Runtime, model: Model) -> GenerationJob:
    """The job that created the model's ONNX files. Raises ExportPending, ExportFailed, NotFound."""
    with current.reading() as session:
        job = exports.job_of(session, model.id, ONNX)
    is_new = False
    if job is None:
        if not current.storage.exists(weights_key(model)):
            raise weights_gone(model)
        with current.writing() as session:
            job, is_new = exports.submit(session, model.id, ONNX)
    if not job.status.is_terminal:
        _wait(current, job, is_new=is_new)
        with current.reading() as session:
            job = exports.job_of(session, model.id, ONNX)
    if job is None or not job.status.is_terminal:
        which = f" by {job.id}" if job else ""
        raise ExportPending(
            f"The ONNX files of {model.id} are being created{which}; repeat the request in a few seconds."
        )
    if job.status is not JobStatus.SUCCEEDED:
        error = job.error or {"message": "It was cancelled.", "hint": None}
        reason = " ".join(filter(None, (error["message"], error["hint"])))
        raise ExportFailed(f"The ONNX files of {model.id} could not be created. {reason} {_again(job)}")
    return job


def _again(job: GenerationJob) -> str:
    return f"To create them again, delete {job.id} and repeat the request."


def _wait(current: Runtime, job: GenerationJob, *, is_new: bool) -> None:
    """Send the notification of a new job, and wait for its end if enough request threads are free."""
    with current.may_wait(WAIT_S) as granted:
        if granted:
            notify_and_wait(current, job, WAIT_S, is_notified=not is_new)
            return
    if is_new:
        notify(current, job)
