"""Receives, checks and stores an uploaded dataset. A refused one leaves no file."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog
from flask import request
from sqlalchemy.orm import Session

from api.runtime import Runtime
from api.upload_form import FieldChecks, UploadForm, received
from shared.dataset_requests import check_description
from shared.db.tables import UploadedDataset
from shared.errors import MimeoError, SpecError
from shared.failpoints import failpoint
from shared.services import datasets, pending_deletions, space_admission, uploaded_datasets
from shared.services.uploaded_datasets import NewText

log = structlog.get_logger(__name__)

Check = Callable[[Session, Mapping[str, str]], object]
Write = Callable[[Session, NewText], UploadedDataset]


def check_kind(kind: str) -> None:
    """Raises SpecError for a kind of data that cannot be uploaded."""
    if kind != "text":
        raise SpecError.at("/kind", "Only `text` can be uploaded.", "invalid")


NEW: FieldChecks = {"name": datasets.check_name, "kind": check_kind, "description": check_description}
REPLACEMENT: FieldChecks = {"kind": check_kind, "description": check_description}


@contextmanager
def receive(current: Runtime, checks: FieldChecks, required: tuple[str, ...], check: Check) -> Iterator[UploadForm]:
    """The form of the current request. check: whether the change is possible at all, before the file is read."""
    space_admission.check_upload(current.settings, request.content_length or 0)

    def before_file(fields: Mapping[str, str]) -> None:
        # The received file and the stored one exist at the same time.
        space_admission.check_upload(current.settings, 2 * (request.content_length or 0))
        with current.reading() as session:
            check(session, fields)

    with received(
        request,
        checks=checks,
        required=required,
        before_file=before_file,
        max_file_bytes=current.settings.max_upload_bytes,
        folder=current.settings.home_path,  # the disk of the store, while /tmp may be memory
    ) as form:
        yield form


def store(current: Runtime, name: str, form: UploadForm, write: Write) -> UploadedDataset:
    """Check a text, put it in storage and write its row. Raises SpecError, Unavailable and the errors of `write`."""
    with current.processing_upload():
        text = uploaded_datasets.check_text(name, form.file)
        with current.writing() as session:  # removes the file if this process ends before it writes the row
            pending_deletions.expect(session, text.folder, current.settings)
        failpoint("upload.noted")
        try:
            uploaded_datasets.put_text(current.storage, text)
        except OSError:
            _remove(current, text.folder)
            raise
    failpoint("upload.stored")
    try:
        with current.writing() as session:
            pending_deletions.keep(session, text.folder, current.settings)
            return write(session, text)
    except MimeoError:
        _remove(current, text.folder)
        raise


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
