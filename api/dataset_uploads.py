"""Receives, checks and stores an uploaded dataset. A refused one leaves no file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile

import structlog
from flask import request
from sqlalchemy.orm import Session

from api.runtime import Runtime
from api.upload_form import FieldChecks, UploadForm, received
from shared.dataset_requests import check_description
from shared.db.tables import UploadedDataset
from shared.errors import MimeoError, SpecError
from shared.failpoints import failpoint
from shared.image_uploads.checking import ImageOptions
from shared.image_uploads.limits import SIZES
from shared.services import datasets, pending_deletions, quotas, space_admission, uploaded_datasets
from shared.services.uploaded_datasets import NewUpload

log = structlog.get_logger(__name__)

Check = Callable[[Session, Mapping[str, str]], int]  # bytes of the files that the change removes
Write = Callable[[Session, NewUpload], UploadedDataset]


def check_kind(kind: str) -> None:
    """Raises SpecError for a kind of data that cannot be uploaded."""
    if kind not in {"text", "images"}:
        raise SpecError.at("/kind", "Upload `text` or `images`.", "invalid")


def check_size(size: str) -> None:
    """Raises SpecError for a height and width that images cannot be prepared in."""
    if not (size.isascii() and size.isdigit() and int(size[:6]) in SIZES):
        detail = f"Give a multiple of {SIZES.step} from {SIZES[0]} to {SIZES[-1]}, the height and width of all images."
        raise SpecError.at("/size", detail, "invalid")


def check_channels(channels: str) -> None:
    """Raises SpecError for other channels than grey or RGB."""
    if channels not in {"1", "3"}:
        raise SpecError.at("/channels", "Give 1 for grey or 3 for colour.", "invalid")


REPLACEMENT: FieldChecks = {
    "kind": check_kind,
    "description": check_description,
    "size": check_size,
    "channels": check_channels,
}
NEW: FieldChecks = {"name": datasets.check_name, **REPLACEMENT}


@contextmanager
def receive(current: Runtime, checks: FieldChecks, required: tuple[str, ...], check: Check) -> Iterator[UploadForm]:
    """The form of the current request. check: whether the change is possible at all, before the file is read."""
    space_admission.check_upload(current.settings, request.content_length or 0)

    def before_file(fields: Mapping[str, str]) -> None:
        # The received file and the stored one exist at the same time.
        space_admission.check_upload(current.settings, 2 * (request.content_length or 0))
        with current.reading() as session:
            freed = check(session, fields)
            quotas.check_new_files(session, current.settings, request.content_length or 0, freed=freed)

    with received(
        request,
        checks=checks,
        required=required,
        before_file=before_file,
        max_file_bytes=current.settings.max_upload_bytes,
        folder=current.settings.home_path,  # the disk of the store, while /tmp may be memory
    ) as form:
        yield form


def store(current: Runtime, name: str, kind: str, form: UploadForm, write: Write) -> UploadedDataset:
    """Check a dataset, put it in storage and write its row. Raises SpecError, Unavailable and the errors of `write`."""
    with current.processing_upload(), _checked(current, name, kind, form) as upload:
        with current.writing() as session:  # removes the file if this process ends before it writes the row
            pending_deletions.expect(session, upload.folder, current.settings)
        failpoint("upload.noted")
        try:
            uploaded_datasets.put(current.storage, upload)
        except OSError:
            _remove(current, upload.folder)
            raise
    failpoint("upload.stored")
    try:
        with current.writing() as session:
            pending_deletions.keep(session, upload.folder, current.settings)
            row = write(session, upload)
            quotas.check_added_files(session, current.settings)
            return row
    except MimeoError:
        _remove(current, upload.folder)
        raise


@contextmanager
def _checked(current: Runtime, name: str, kind: str, form: UploadForm) -> Iterator[NewUpload]:
    """The checked dataset of a form. It can be stored inside the block."""
    size, channels = form.fields.get("size"), form.fields.get("channels")
    if kind == "text":
        for field, value in (("size", size), ("channels", channels)):
            if value is not None:
                raise SpecError.at(f"/{field}", "Only images have this field.", "wrong_kind")
        yield uploaded_datasets.check_text(name, form.file)
        return
    options = ImageOptions(size=int(size) if size else None, channels=int(channels) if channels else None)
    settings = current.settings
    with TemporaryFile(dir=settings.home_path) as target:
        upload = uploaded_datasets.check_images(
            name, form.file, options, target, max_upload_bytes=settings.max_upload_bytes
        )
        space_admission.check_upload(settings, upload.size)
        yield upload


def _remove(current: Runtime, folder: str) -> None:
    """Remove a refused file now. If the store does not respond, the sweeper removes it."""
    try:
        current.storage.delete_tree(folder)
    except OSError as error:
        log.warning("refused upload is removed later", folder=folder, reason=str(error))
        return
    failpoint("upload.removed")
    with current.writing() as session:
        pending_deletions.forget(session, folder)
