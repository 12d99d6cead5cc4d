"""Datasets: those of the registry, and uploads."""

from collections.abc import Mapping
from functools import partial

from flask import Response, request
from flask_openapi.blueprint import APIBlueprint
from sqlalchemy.orm import Session

from api import dataset_previews, dataset_uploads
from api.dataset_listing import of_registry, of_upload
from api.json_body import read_json
from api.openapi import FILE, answers, body
from api.parameters import DatasetPath, DatasetsQuery, PreviewQuery
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.pages import DatasetPage
from api.schemas.previews import DatasetPreview
from api.schemas.resources import Dataset
from api.tags import DATASETS
from api.upload_form import MEDIA_TYPE
from api.urls import url
from shared.dataset_requests import parse_dataset_change
from shared.datasets import REGISTRY
from shared.services import datasets, uploaded_datasets
from shared.services.datasets import Use

routes = APIBlueprint("datasets", __name__, url_prefix="/v1/datasets", abp_tags=[DATASETS])
UNUSED = Use()


@routes.get("", responses=answers({200: DatasetPage}, 422, headers=("Link",)))
def list_datasets(query: DatasetsQuery) -> Response:
    """List datasets by name, and whether each is on this machine."""
    current = runtime()
    with current.reading() as session:
        uses = datasets.uses(session)
        rows = datasets.list_uploads(session, after=query.after, limit=query.limit + 1)
        uploads = [of_upload(row, uses.get(row.name, UNUSED)) for row in rows]
    infos = [info for name, info in REGISTRY.items() if query.after is None or name > query.after]
    known = [of_registry(info, current.settings, uses.get(info.name, UNUSED)) for info in infos]
    found = sorted([*known, *uploads], key=lambda shown: shown.name)
    page = DatasetPage(data=found[: query.limit], has_more=len(found) > query.limit)
    return page_response(page, next_after=page.data[-1].name if page.has_more else None)


@routes.get("/<name>", responses=answers({200: Dataset}, 404))
def get_dataset(path: DatasetPath) -> Response:
    """Describe one dataset."""
    return _shown(path.name)


@routes.get("/<name>/preview", responses=answers({200: DatasetPreview}, 404, 409, 422, 500))
def preview_dataset(path: DatasetPath, query: PreviewQuery) -> Response:
    """Show a part of a dataset: a passage and the characters of a text, or images by class.

    409 while the files of a dataset are not on this machine.
    """
    response = json_response(dataset_previews.preview(runtime(), path.name, query))
    response.headers["Cache-Control"] = "no-cache"
    return response


@routes.post(
    "",
    request_body=body("DatasetUpload", MEDIA_TYPE),
    responses=answers({201: Dataset}, 400, 409, 413, 415, 422, headers=("Location",)),
)
def create_dataset() -> Response:
    """Upload a text (UTF-8) or images (an archive) as a multipart form.

    With `name` and `kind` before `file`, a name that is taken is refused before the file is read.
    """
    current = runtime()
    new = dataset_uploads.NEW

    def check(session: Session, fields: Mapping[str, str]) -> int:
        uploaded_datasets.check_new(session, fields["name"])
        return 0

    with dataset_uploads.receive(current, new, ("name", "kind"), check) as form:
        description = form.fields.get("description")
        write = partial(uploaded_datasets.add, description=description)
        row = dataset_uploads.store(current, form.fields["name"], form.fields["kind"], form, write)
    answer = of_upload(row, UNUSED)
    response = json_response(answer, 201)
    response.headers["Location"] = url(f"/v1/datasets/{answer.name}")
    return response


@routes.put(
    "/<name>",
    request_body=body("DatasetReplacement", MEDIA_TYPE),
    responses=answers({200: Dataset}, 400, 404, 409, 413, 415, 422),
)
def replace_dataset(path: DatasetPath) -> Response:
    """Replace the contents of an uploaded dataset by others of its kind. 409 while unfinished jobs use it.

    Models of the old contents keep working.
    """
    current = runtime()
    kind = ""

    def check(session: Session, fields: Mapping[str, str]) -> int:
        nonlocal kind
        row = uploaded_datasets.check_changeable(session, path.name, "replaced", lock=False)
        kind = row.kind
        uploaded_datasets.check_same_kind(row, fields.get("kind", kind))
        return row.size

    with dataset_uploads.receive(current, dataset_uploads.REPLACEMENT, (), check) as form:
        write = partial(uploaded_datasets.replace, description=form.fields.get("description"))
        dataset_uploads.store(current, path.name, form.fields.get("kind", kind), form, write)
    return _shown(path.name)


@routes.patch(
    "/<name>", request_body=body("DatasetChange"), responses=answers({200: Dataset}, 400, 404, 409, 413, 415, 422)
)
def describe_dataset(path: DatasetPath) -> Response:
    """Change the description of an uploaded dataset."""
    change = parse_dataset_change(read_json())
    with runtime().writing() as session:
        uploaded_datasets.describe(session, path.name, change.description)
    return _shown(path.name)


@routes.delete("/<name>", responses=answers({204: None}, 404, 409))
def delete_dataset(path: DatasetPath) -> Response:
    """Delete an uploaded dataset. 409 while unfinished jobs use it. Models that were trained on it stay."""
    with runtime().writing() as session:
        uploaded_datasets.delete(session, path.name)
    return Response(status=204)


@routes.get("/<name>/picture", responses={"200": dict(FILE), **answers({304: None}, 404)})
def get_dataset_picture(path: DatasetPath) -> Response:
    """Show the first uploaded images of the first classes, a row each, as a training will see them (PNG)."""
    current = runtime()
    with current.reading() as session:
        row = datasets.get_upload(session, path.name)
        key = uploaded_datasets.picture_key(row)
    response = Response(current.storage.read_bytes(key), content_type="image/png")
    response.set_etag(row.sha256)
    response.headers["Cache-Control"] = "no-cache"
    response.make_conditional(request)
    return response


def _shown(name: str) -> Response:
    current = runtime()
    with current.reading() as session:
        use = datasets.uses(session, name).get(name, UNUSED)
        if name in REGISTRY:
            return json_response(of_registry(REGISTRY[name], current.settings, use))
        return json_response(of_upload(datasets.get_upload(session, name), use))
