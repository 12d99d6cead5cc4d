"""Downloads of models."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.types import ResponseDict

from api import queue_places, serializers
from api.authentication import require
from api.dispatch import notify, notify_and_wait
from api.errors import RETRY_AFTER_S
from api.files import file_response, weights_gone, weights_key, weights_response
from api.headers import ExportHeaders
from api.openapi import FILE, HEADERS, JSON, PROBLEM_CONTENT, answers, reference
from api.parameters import ExportQuery, ModelPath
from api.responses import json_response
from api.runtime import Runtime, runtime
from api.schemas.jobs import GenerationJob as GenerationJobAnswer
from api.tags import MODELS
from shared import model_types
from shared.db.tables import GenerationJob, Model
from shared.errors import ExportFailed, ExportPending, SpecError
from shared.exports import ONNX, SAFETENSORS, part_file
from shared.identity import Scope
from shared.job_status import JobStatus
from shared.services import artifacts, exports, generation_jobs, models, quotas
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
    headers = {name: HEADERS[name] for name in ("Location", "Preference-Applied", "Retry-After")}
    documented["202"] = {"content": {JSON: {"schema": reference(GenerationJobAnswer)}}, "headers": headers}
    documented["206"] = dict(FILE)
    documented["503"] = {**PROBLEM_CONTENT, "description": description, "headers": _PENDING}
    return documented


@routes.get("/<id>/export", responses=_responses())
def export_model(path: ModelPath, query: ExportQuery, header: ExportHeaders) -> Response:
    """Download a model: its weights, or an ONNX graph that runs without Mimeo.

    `safetensors`: the weights file of the published checkpoint, byte for byte, with the checkpoint's sha256 as ETag.
    Its `__metadata__` has one key, `mimeo`: JSON with the `model_type` and the `config` that rebuilds the model.
    `onnx`: a generation worker creates the file at the first request and compares its outputs with the model's.
    The response is delayed by up to 20 s. After that it is 503 `export_pending`; `curl --fail --retry 20` repeats it.
    With `Prefer: respond-async` it is instead 202 with the job, at once or after the seconds of `wait=N`.
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
    wait_s = header.wait_s if header.wait_s is not None else 0 if header.is_async else WAIT_S
    job = _job(current, model, wait_s)
    if not job.status.is_terminal and header.is_async:
        return _accepted(current, job.id)
    _check(model, job)
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


def _job(current: Runtime, model: Model, wait_s: float) -> GenerationJob:
    """The job that creates the ONNX files, after its end or `wait_s` seconds. Raises ExportPending, NotFound."""
    with current.reading() as session:
        job = exports.job_of(session, model.id, ONNX)
    is_new = False
    if job is None:
        if not current.storage.exists(weights_key(model)):
            raise weights_gone(model)
        require(Scope.WRITE)  # the request starts work
        with current.writing() as session:
            quotas.check_new_job(session, current.settings)
            job, is_new = exports.submit(session, model.id, ONNX)
    if not job.status.is_terminal:
        _wait(current, job, wait_s, is_new=is_new)
        with current.reading() as session:
            job = exports.job_of(session, model.id, ONNX)
    if job is None:  # deleted meanwhile
        raise ExportPending(f"The ONNX files of {model.id} are not created yet; repeat the request.")
    return job


def _check(model: Model, job: GenerationJob) -> None:
    """Raise ExportPending or ExportFailed if the job has not created the files."""
    if not job.status.is_terminal:
        raise ExportPending(
            f"The ONNX files of {model.id} are being created by {job.id}; repeat the request in a few seconds."
        )
    if job.status is not JobStatus.SUCCEEDED:
        error = job.error or {"message": "It was cancelled.", "hint": None}
        reason = " ".join(filter(None, (error["message"], error["hint"])))
        raise ExportFailed(f"The ONNX files of {model.id} could not be created. {reason} {_again(job)}")


def _accepted(current: Runtime, job_id: str) -> Response:
    """202 with the job that creates the files."""
    with current.reading() as session:
        job = generation_jobs.get(session, job_id)
        answer = serializers.generation_job(job, (), place=queue_places.place(session, job))
    response = json_response(answer, 202)
    response.headers.update(
        {"Location": answer.urls.self, "Preference-Applied": "respond-async", "Retry-After": RETRY_AFTER_S}
    )
    return response


def _again(job: GenerationJob) -> str:
    return f"To create them again, delete {job.id} and repeat the request."


def _wait(current: Runtime, job: GenerationJob, seconds: float, *, is_new: bool) -> None:
    """Send the notification of a new job, and wait for its end if enough request threads are free."""
    with current.may_wait(seconds) as granted:
        if granted:
            notify_and_wait(current, job, seconds, is_notified=not is_new)
            return
    if is_new:
        notify(current, job)
