"""A server with authentication, and the requests of its owners."""

import io
from typing import Any

from flask.testing import FlaskClient

from api.openapi import DocumentedApi
from shared.db.session import SessionFactory, transaction
from shared.identity import Scope
from shared.services import api_keys


def new_key(database: SessionFactory, owner: str, *scopes: Scope, days: float | None = None) -> str:
    """A new key of an owner, by default with the scope `write`."""
    with transaction(database) as session:
        return api_keys.create(session, owner, scopes or (Scope.WRITE,), days=days).secret


def client_of(app: DocumentedApi, key: str) -> FlaskClient:
    """A client that sends a key with each request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    return client


def upload(name: str, text: str = "Once upon a time there was a text. " * 40) -> dict[str, Any]:
    """The options of a request that uploads a text."""
    form = {"name": name, "kind": "text", "file": (io.BytesIO(text.encode()), "notes.txt")}
    return {"data": form, "content_type": "multipart/form-data"}


def replacement(text: str) -> dict[str, Any]:
    """The options of a request that replaces a text."""
    return {"data": {"file": (io.BytesIO(text.encode()), "notes.txt")}, "content_type": "multipart/form-data"}
