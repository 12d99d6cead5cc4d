"""Uploaded texts, as the API makes them."""

import io

from shared.db.session import SessionFactory, transaction
from shared.services import uploaded_datasets
from shared.services.uploaded_datasets import NewUpload
from shared.storage import Storage


def checked(name: str, data: bytes) -> NewUpload:
    """A checked text that is not stored."""
    return uploaded_datasets.check_text(name, io.BytesIO(data))


def uploaded(database: SessionFactory, storage: Storage, name: str, data: bytes) -> NewUpload:
    """A text in storage, with its row."""
    text = checked(name, data)
    uploaded_datasets.put(storage, text)
    with transaction(database) as session:
        uploaded_datasets.add(session, text, None)
    return text
