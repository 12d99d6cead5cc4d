"""Changes of uploaded datasets. The files precede their row, and follow its deletion as a pending deletion.

A replacement is a new version: its files are in a folder of their own, and a job reads the version that it was
submitted with, or none.
"""

from dataclasses import dataclass
from typing import IO

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.datasets import REGISTRY
from shared.datasets.uploaded_text import TextFacts, check, stored_pieces
from shared.db.clock import db_now
from shared.db.tables import UploadedDataset
from shared.errors import Conflict
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.services import datasets, pending_deletions
from shared.storage import Storage

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class NewText:
    """A checked text that is not stored yet. file: its bytes as they were sent. folder: unique to this upload."""

    name: str
    file: IO[bytes]
    facts: TextFacts
    folder: str

    @property
    def storage_key(self) -> str:
        """Storage key of the file."""
        return f"{self.folder}/text.txt"


def check_text(name: str, file: IO[bytes]) -> NewText:
    """Check a text. Next, `put_text` stores it, and `add` or `replace` writes its row. Raises SpecError."""
    return NewText(name=name, file=file, facts=check(file), folder=f"datasets/{name}/{new_id('dst')}")


def put_text(storage: Storage, text: NewText) -> None:
    """Put a text in storage, normalised. Needs no session."""
    storage.put_pieces(stored_pieces(text.file), text.storage_key)


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


def add(session: Session, text: NewText, description: str | None) -> UploadedDataset:
    """Register a stored text under its name. Raises Conflict where the name is taken."""
    row = UploadedDataset(name=text.name, kind="text", description=description)
    _refer(row, text)
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        raise _taken(text.name) from None
    session.refresh(row)
    return row


def replace(session: Session, text: NewText, description: str | None) -> UploadedDataset:
    """Refer to a stored text under an existing name, and record the old text for removal.

    description: None keeps the old one. Raises NotFound, and Conflict as `check_changeable`.
    """
    row = check_changeable(session, text.name, "replaced")
    pending_deletions.add(session, _folder(row))
    _refer(row, text)
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


def _refer(row: UploadedDataset, text: NewText) -> None:
    row.storage_key = text.storage_key
    row.sha256, row.size = text.facts.sha256, text.facts.size
    row.details = {"characters": text.facts.characters, "vocabulary": text.facts.vocabulary}


def _folder(row: UploadedDataset) -> str:
    return row.storage_key.rpartition("/")[0]


def _taken(name: str) -> Conflict:
    return Conflict(f'There is a dataset "{name}" already; choose another name, or replace it with PUT.')
