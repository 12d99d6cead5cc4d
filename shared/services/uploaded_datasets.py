"""Changes of uploaded datasets. The files precede their row, and follow its deletion as a pending deletion.

A replacement is a new version: its files are in a folder of their own, and a job reads the version that it was
submitted with, or none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.datasets import REGISTRY
from shared.datasets.uploaded_text import check, stored_pieces
from shared.db.clock import db_now
from shared.db.owned_rows import owner_of
from shared.db.tables import UploadedDataset
from shared.errors import Conflict, NotFound, SpecError
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.image_uploads import preview, stored
from shared.image_uploads.checking import ImageOptions
from shared.image_uploads.checking import check as check_archive
from shared.services import datasets, pending_deletions
from shared.storage import Storage

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class NewUpload:
    """A checked dataset that is not stored yet.

    folder: unique to this upload. file_name: in the folder. pieces: its content from the start, in the stored form,
    with `size` bytes and the checksum `sha256`. others: smaller files of the folder. details: of the row.
    """

    name: str
    kind: str
    folder: str
    file_name: str
    size: int
    sha256: str
    details: Mapping[str, Any]
    pieces: Callable[[], Iterator[bytes]]
    others: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def storage_key(self) -> str:
        """Storage key of the file."""
        return f"{self.folder}/{self.file_name}"


def check_text(name: str, file: IO[bytes]) -> NewUpload:
    """Check a text. Next, `put` stores it, and `add` or `replace` writes its row. Raises SpecError."""
    facts = check(file)
    return NewUpload(
        name=name,
        kind="text",
        folder=_new_folder(name),
        file_name="text.txt",
        size=facts.size,
        sha256=facts.sha256,
        details={"characters": facts.characters, "vocabulary": facts.vocabulary},
        pieces=partial(stored_pieces, file),
    )


def check_images(
    name: str, file: IO[bytes], options: ImageOptions, target: IO[bytes], *, max_upload_bytes: int
) -> NewUpload:
    """As `check_text`, for images. target: an empty file for the stored form, open until `put` has returned."""
    facts = check_archive(file, options, target, max_upload_bytes=max_upload_bytes)
    return NewUpload(
        name=name,
        kind="images",
        folder=_new_folder(name),
        file_name=stored.FILE,
        size=facts.size,
        sha256=facts.sha256,
        details=facts.details,
        pieces=partial(stored.pieces, target),
        others={preview.FILE: facts.preview},
    )


def put(storage: Storage, upload: NewUpload) -> None:
    """Put a checked dataset in storage. Needs no session."""
    for name, data in upload.others.items():
        storage.put_bytes(data, f"{upload.folder}/{name}")
    storage.put_pieces(upload.pieces(), upload.storage_key)


def check_new(session: Session, name: str) -> None:
    """Raises Conflict where the name is taken."""
    if name in REGISTRY:
        raise Conflict(f'"{name}" is the name of a dataset that comes with Mimeo; choose another.')
    if datasets.find_upload(session, name) is not None:
        raise _taken(name)


def check_changeable(session: Session, name: str, action: str, *, lock: bool = True) -> UploadedDataset:
    """The row of a dataset that no unfinished job uses. action: `replaced` or `deleted`.

    Raises NotFound, and Conflict for a dataset of the registry or one in use.
    """
    if name in REGISTRY:
        raise Conflict(f'"{name}" comes with Mimeo and cannot be {action}; only uploaded datasets can.')
    # The lock waits for transactions that are submitting jobs on this dataset.
    row = datasets.get_upload(session, name, lock="update" if lock else None)
    users = datasets.unfinished_jobs(session, name)
    if users:
        more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
        named = ", ".join(users[:_NAMED]) + more
        raise Conflict(f'"{name}" is still needed by {named}; wait for their end, or cancel them.')
    return row


def add(session: Session, upload: NewUpload, description: str | None) -> UploadedDataset:
    """Register a stored dataset under its name. Raises Conflict where the name is taken."""
    row = UploadedDataset(owner=owner_of(session), name=upload.name, kind=upload.kind, description=description)
    _refer(row, upload)
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        raise _taken(upload.name) from None
    session.refresh(row)
    return row


def replace(session: Session, upload: NewUpload, description: str | None) -> UploadedDataset:
    """Refer to a stored dataset under an existing name, and record the old one for removal.

    description: None keeps the old one. Raises SpecError for another kind, NotFound, and Conflict as
    `check_changeable`.
    """
    row = check_changeable(session, upload.name, "replaced")
    check_same_kind(row, upload.kind)
    pending_deletions.add(session, _folder(row))
    _refer(row, upload)
    row.version += 1
    row.updated_at = db_now()
    if description is not None:
        row.description = description
    session.flush()
    session.refresh(row)
    failpoint("dataset.replaced")
    return row


def describe(session: Session, name: str, description: str | None) -> UploadedDataset:
    """Change the description. Raises NotFound, and Conflict for a dataset of the registry."""
    if name in REGISTRY:
        raise Conflict(f'"{name}" comes with Mimeo and keeps its title; only uploaded datasets have a description.')
    row = datasets.get_upload(session, name, lock="update")
    row.description = description
    row.updated_at = db_now()
    session.flush()
    session.refresh(row)
    return row


def delete(session: Session, name: str) -> None:
    """Delete a dataset; the sweeper removes its file. Raises NotFound, and Conflict as `check_changeable`."""
    row = check_changeable(session, name, "deleted")
    pending_deletions.add(session, _folder(row))
    session.delete(row)
    session.flush()
    failpoint("dataset.deleted")


def picture_key(row: UploadedDataset) -> str:
    """Storage key of the picture of uploaded images. Raises NotFound for a text."""
    if row.kind != "images":
        raise NotFound(f'"{row.name}" is a text and has no picture.')
    return f"{_folder(row)}/{preview.FILE}"


def check_same_kind(row: UploadedDataset, kind: str) -> None:
    """Raises SpecError where a replacement is not of the dataset's kind."""
    if kind != row.kind:
        detail = f'"{row.name}" holds {row.kind} and cannot become {kind}; upload it under another name.'
        raise SpecError.at("/kind", detail, "wrong_kind")


def _refer(row: UploadedDataset, upload: NewUpload) -> None:
    row.storage_key = upload.storage_key
    row.sha256, row.size = upload.sha256, upload.size
    row.details = dict(upload.details)


def _new_folder(name: str) -> str:
    return f"datasets/{name}/{new_id('dst')}"


def _folder(row: UploadedDataset) -> str:
    return row.storage_key.rpartition("/")[0]


def _taken(name: str) -> Conflict:
    return Conflict(f'There is a dataset "{name}" already; choose another name, or replace it with PUT.')
