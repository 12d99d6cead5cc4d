"""Receives, checks and stores an imported model. A refused one leaves no file."""

from collections.abc import Mapping

from flask import request

from api.runtime import Runtime
from api.upload_form import FieldChecks, received
from shared.errors import SpecError
from shared.services import datasets, imported_models, quotas, space_admission
from shared.specs import is_storable

LONGEST_NAME = 200


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= LONGEST_NAME or not is_storable(name) or not name.isprintable():
        raise SpecError.at("/name", f"Use 1 to {LONGEST_NAME} printable characters.", "invalid")


def _check_dataset(name: str) -> None:
    try:
        datasets.check_name(name)
    except SpecError as error:
        raise SpecError.at("/dataset", error.detail, "invalid") from None


FIELDS: FieldChecks = {"name": _check_name, "dataset": _check_dataset}


def receive_and_store(current: Runtime) -> str:
    """Import the model in the form of the current request. Returns its id. Raises SpecError, TooLarge, StorageFull."""
    space_admission.check_upload(current.settings, request.content_length or 0)

    def before_file(_fields: Mapping[str, str]) -> None:
        # The received file and the stored one exist at the same time.
        space_admission.check_upload(current.settings, 2 * (request.content_length or 0))
        with current.reading() as session:
            quotas.check_new_files(session, current.settings, request.content_length or 0)

    with received(
        request,
        checks=FIELDS,
        required=(),
        before_file=before_file,
        max_file_bytes=current.settings.max_upload_bytes,
        folder=current.settings.home_path,
    ) as form:
        with current.processing_upload():
            new = imported_models.check_file(
                form.file, name=form.fields.get("name"), dataset=form.fields.get("dataset")
            )
        return imported_models.store(current.writing, current.storage, current.settings, new)
