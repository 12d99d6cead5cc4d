"""Datasets: those of the registry, and uploaded texts."""

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from werkzeug.exceptions import UnsupportedMediaType

from api.dataset_listing import of_registry, of_upload
from api.openapi import answers, body
from api.parameters import DatasetPath
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.pages import DatasetPage
from api.schemas.resources import Dataset
from api.tags import DATASETS
from api.urls import url
from shared.datasets import REGISTRY
from shared.errors import FieldError, SpecError
from shared.failpoints import failpoint
from shared.services import datasets, pending_deletions
from shared.spec_errors import nearest

routes = APIBlueprint("datasets", __name__, url_prefix="/v1/datasets", abp_tags=[DATASETS])
FORM = "multipart/form-data"
FORM_OVERHEAD_BYTES = 64 << 10
FIELDS = ("name", "kind")


@routes.get("", responses=answers({200: DatasetPage}))
def list_datasets() -> Response:
    """List all datasets, and whether each is on this machine."""
    current = runtime()
    with current.reading() as session:
        uploads = [of_upload(row) for row in datasets.list_uploads(session)]
    known = [of_registry(info, current.settings) for info in REGISTRY.values()]
    page = DatasetPage(data=sorted([*known, *uploads], key=lambda shown: shown.name), has_more=False)
    return page_response(page, next_after=None)


@routes.get("/<name>", responses=answers({200: Dataset}, 404))
def get_dataset(path: DatasetPath) -> Response:
    """Describe one dataset."""
    current = runtime()
    if path.name in REGISTRY:
        return json_response(of_registry(REGISTRY[path.name], current.settings))
    with current.reading() as session:
        return json_response(of_upload(datasets.get_upload(session, path.name)))


@routes.post(
    "",
    request_body=body("DatasetUpload", FORM),
    responses=answers({201: Dataset}, 400, 409, 413, 415, 422, headers=("Location",)),
)
def create_dataset() -> Response:
    """Upload a text (UTF-8) as a multipart form."""
    current = runtime()
    request.max_content_length = current.settings.max_upload_bytes + FORM_OVERHEAD_BYTES
    if request.mimetype != FORM:
        raise UnsupportedMediaType(f"Send a form, with the header 'Content-Type: {FORM}' and its boundary.")
    name, data = _read_form()
    text = datasets.check_text(name=name, data=data, settings=current.settings)
    with current.writing() as session:  # removes the file if this process ends before it writes the row
        pending_deletions.expect(session, text.folder, current.settings)
    failpoint("upload.noted")
    datasets.put_text(current.storage, text)
    failpoint("upload.stored")
    with current.writing() as session:
        pending_deletions.keep(session, text.folder, current.settings)
        answer = of_upload(datasets.add_upload(session, text))
    response = json_response(answer, 201)
    response.headers["Location"] = url(f"/v1/datasets/{answer.name}")
    return response


def _read_form() -> tuple[str, bytes]:
    """Name and file of the form. Raises SpecError with every missing, unknown or invalid field."""
    form, files = request.form, request.files
    errors = [_error(field, "This field is required.", "missing") for field in FIELDS if field not in form]
    if "file" not in files:
        errors.append(_error("file", "This field is required, as a file.", "missing"))
    errors += [
        _error(field, f"This field does not exist.{nearest(field, (*FIELDS, 'file'))}", "unknown_field")
        for field in sorted({*form, *files} - {*FIELDS, "file"})
    ]
    if form.get("kind", "text") != "text":
        errors.append(_error("kind", "Only `text` can be uploaded.", "invalid"))
    if errors:
        raise SpecError.of(errors)
    return form["name"], files["file"].read()


def _error(field: str, detail: str, code: str) -> FieldError:
    pointer = "/" + field[:100].replace("~", "~0").replace("/", "~1")
    return FieldError(pointer=pointer, detail=detail, code=code)
