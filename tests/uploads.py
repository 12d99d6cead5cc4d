"""Uploaded texts, as the API makes them."""

import io

from shared.db.session import SessionFactory, transaction
from shared.services import uploaded_datasets
from shared.services.uploaded_datasets import NewText
from shared.storage import Storage


def checked(name: str, data: bytes) -> NewText:
    """A checked text that is not stored."""
    return uploaded_datasets.check_text(name, io.BytesIO(data))


def uploaded(database: SessionFactory, storage: Storage, name: str, data: bytes) -> NewText:
    """A text in storage, with its row."""
    text = checked(name, data)
    uploaded_datasets.put_text(storage, text)
    with transaction(database) as session:
        uploaded_datasets.add(session, text, None)
    return text
