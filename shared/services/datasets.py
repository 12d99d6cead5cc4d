"""Datasets by name: the registry's, and the texts that users upload."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from shared.datasets import REGISTRY, DatasetShape
from shared.db.tables import UploadedDataset
from shared.errors import Conflict, NotFound, SpecError, TooLarge
from shared.ids import new_id
from shared.settings import Settings
from shared.spec_errors import nearest
from shared.storage import Storage

MIN_CHARACTERS = 200
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class CheckedText:
    """A text for training. folder: its folder in storage, unique to this upload."""

    name: str
    data: bytes
    sha256: str
    folder: str
    details: dict[str, Any]

    @property
    def storage_key(self) -> str:
        """Storage key of the file."""
        return f"{self.folder}/text.txt"


def list_uploads(session: Session) -> list[UploadedDataset]:
    """Every uploaded dataset, by name."""
    return list(session.scalars(select(UploadedDataset).order_by(UploadedDataset.name)))


def get_upload(session: Session, name: str) -> UploadedDataset:
    """An uploaded dataset. Raises NotFound with the nearest name."""
    row = session.get(UploadedDataset, name) if _NAME.fullmatch(name) else None
    if row is None:
        raise NotFound(
            f"This dataset does not exist.{nearest(name, [*names(session, 'text'), *names(session, 'images')])}"
        )
    return row


def names(session: Session, kind: str) -> list[str]:
    """Names of all datasets of a kind."""
    uploads = session.scalars(select(UploadedDataset.name).where(UploadedDataset.kind == kind))
    return [info.name for info in REGISTRY.values() if info.kind == kind] + list(uploads)


def shape(session: Session, name: str) -> DatasetShape | None:
    """The known part of a dataset's shape; None when the dataset does not exist."""
    if name in REGISTRY:
        return REGISTRY[name].shape
    row = session.get(UploadedDataset, name) if _NAME.fullmatch(name) else None
    if row is None:
        return None
    return DatasetShape(kind="text", examples=row.details.get("characters"), vocabulary=row.details.get("vocabulary"))


def check_text(*, name: str, data: bytes, settings: Settings) -> CheckedText:
    """Check an uploaded text. Next, `put_text` stores it and `add_upload` writes its row.

    Raises SpecError (name or content), TooLarge, Conflict (a registry's name).
    """
    if not _NAME.fullmatch(name):
        detail = "Use 1 to 64 lower-case letters, digits, dots, dashes or underscores, starting with a letter or digit."
        raise SpecError.at("/name", detail, "invalid")
    if name in REGISTRY:
        raise Conflict(f'"{name}" is the name of a dataset that comes with Mimeo; choose another.')
    if len(data) > settings.max_upload_bytes:
        raise TooLarge(f"The file has {len(data):,} bytes; at most {settings.max_upload_bytes:,} are accepted.")
    data = data.removeprefix(b"\xef\xbb\xbf")
    details = _describe(data)
    digest = hashlib.sha256(data).hexdigest()
    return CheckedText(name=name, data=data, sha256=digest, folder=f"datasets/{name}/{new_id('dst')}", details=details)


def put_text(storage: Storage, text: CheckedText) -> None:
    """Put a text in storage. Needs no session."""
    storage.put_bytes(text.data, text.storage_key)


def add_upload(session: Session, text: CheckedText) -> UploadedDataset:
    """Register a stored text under its name. Raises Conflict where the name is taken."""
    row = UploadedDataset(
        name=text.name,
        kind="text",
        storage_key=text.storage_key,
        sha256=text.sha256,
        size=len(text.data),
        details=text.details,
    )
    try:
        with session.begin_nested():
            session.add(row)
            session.flush()
    except IntegrityError:
        raise Conflict(f'There is a dataset "{text.name}" already; choose another name.') from None
    session.refresh(row)
    return row


def _describe(data: bytes) -> dict[str, Any]:
    """Shape of a text. Raises SpecError for a text that is unusable for training."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"The file is not UTF-8: the byte at offset {error.start} is invalid. Convert it to UTF-8 first."
        raise SpecError.at("/file", detail, "not_utf8") from None
    if (position := data.find(b"\x00")) >= 0:
        raise SpecError.at("/file", f"The byte at offset {position} is NUL; this is not a text file.", "not_text")
    if len(text) < MIN_CHARACTERS:
        detail = f"The text has {len(text)} characters; give at least {MIN_CHARACTERS}."
        raise SpecError.at("/file", detail, "too_short")
    vocabulary = len(set(text))
    if vocabulary < 2:
        raise SpecError.at(
            "/file", "The text repeats one character; give a text with at least two different ones.", "one_character"
        )
    return {"characters": len(text), "vocabulary": vocabulary}
