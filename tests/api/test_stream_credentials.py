"""Streams that are open when their key or session ends."""

import pytest
from flask.testing import FlaskClient

from api import authentication
from api.openapi import DocumentedApi
from shared.db.session import SessionFactory, transaction
from shared.services import api_keys
from shared.settings import Settings
from tests.api.tenants import client_of, new_key
from tests.api.test_browser_sessions import PAGE, log_in
from tests.api.test_streams import stream

STREAM = "/v1/jobs/stream"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "required"})


@pytest.fixture(autouse=True)
def checked_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "RECHECK_S", 0.0)


def test_stream_ends_when_its_key_is_revoked(app: DocumentedApi, database: SessionFactory) -> None:
    key, other = new_key(database, "ada"), new_key(database, "ada")
    with stream(client_of(app, key), STREAM) as ending, stream(client_of(app, other), STREAM) as lasting:
        ending.next("queue")
        lasting.next("queue")
        with transaction(database) as session:
            api_keys.revoke(session, key)

        with pytest.raises(StopIteration):
            ending.next("deleted")
        post(client_of(app, other))
        assert lasting.next("job")[2]["model_type"] == "vae"
    assert client_of(app, key).get(STREAM).status_code == 401


def test_stream_of_a_browser_ends_at_its_logout(app: DocumentedApi, database: SessionFactory) -> None:
    browser = app.test_client()
    cookie = log_in(browser, new_key(database, "ada")).partition(";")[0]
    with stream(browser, STREAM) as reader:
        reader.next("queue")
        other_tab = app.test_client(use_cookies=False)
        assert other_tab.delete("/v1/session", headers={**PAGE, "Cookie": cookie}).status_code == 204

        with pytest.raises(StopIteration):
            reader.next("deleted")


def post(client: FlaskClient) -> None:
    assert client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).status_code == 202
