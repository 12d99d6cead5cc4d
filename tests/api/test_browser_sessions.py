"""The cookie of a browser: which servers and proxies it works with, and which answers may be stored."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from api.app import create_app
from api.openapi import DocumentedApi
from api.runtime import EXTENSION
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import LoginSession
from shared.services import login_sessions
from shared.settings import Settings
from tests.api.tenants import client_of, new_key

PAGE = {"Sec-Fetch-Site": "same-origin"}
ServerOf = Callable[..., DocumentedApi]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "required"})


@pytest.fixture
def server_of(settings: Settings, broker: NullBroker, request: pytest.FixtureRequest) -> ServerOf:
    """Makes applications with changed settings."""

    def make(**changes: object) -> DocumentedApi:
        app = create_app(settings.model_copy(update=changes), broker=broker)
        request.addfinalizer(app.extensions[EXTENSION].close)
        return app

    return make


def log_in(client: FlaskClient, key: str, base: str = "http://localhost", **headers: str) -> str:
    """Log a browser in. Returns the cookie."""
    answer = client.post("/v1/session", json={"key": key}, base_url=base, headers={**PAGE, **headers})
    assert answer.status_code == 200
    return answer.headers["Set-Cookie"]


def test_servers_on_two_ports_of_a_host_keep_their_sessions(server_of: ServerOf, database: SessionFactory) -> None:
    ports = {"http://localhost:8000": "ada", "http://localhost:8001": "bob"}
    browser = server_of().test_client()  # cookies have no port
    for base, owner in ports.items():
        log_in(browser, new_key(database, owner), base)
    for base, owner in ports.items():
        assert browser.get("/v1/session", base_url=base).get_json()["owner"] == owner


def test_cookie_on_https_is_of_this_host_alone(server_of: ServerOf, database: SessionFactory) -> None:
    key, host = new_key(database, "ada"), "models.example.org"
    own = server_of(public_url=f"https://{host}").test_client()
    cookie = log_in(own, key, f"https://{host}")
    assert cookie.startswith("__Host-mimeo_session=")
    assert "Secure" in cookie
    assert own.get("/v1/session", base_url=f"https://{host}").status_code == 200
    planted = server_of(public_url=f"https://{host}").test_client()
    token = cookie.partition(";")[0].partition("=")[2]
    assert planted.get("/v1/session", headers={"Cookie": f"mimeo_session={token}"}).status_code == 401

    below = server_of(public_url=f"https://{host}/mimeo").test_client()
    cookie = log_in(below, key, f"https://{host}")
    assert cookie.startswith("mimeo_session=")
    assert "Path=/mimeo" in cookie
    assert "Secure" in cookie


def test_page_behind_a_proxy_that_changes_the_host_may_write(server_of: ServerOf, database: SessionFactory) -> None:
    browser = server_of(public_url="http://models.example.org").test_client()
    own = {"Origin": "http://models.example.org"}  # without Sec-Fetch-Site, which needs HTTPS
    key = new_key(database, "ada")
    assert browser.post("/v1/session", json={"key": key}, headers=own).status_code == 200
    assert browser.post("/v1/training-jobs/cancel", json={}, headers=own).status_code == 200
    for other in ("http://models.example.org:8080", "https://models.example.org", "http://evil.example"):
        assert browser.post("/v1/training-jobs/cancel", json={}, headers={"Origin": other}).status_code == 403


def test_password_of_a_proxy_does_not_replace_the_cookie(app: DocumentedApi, database: SessionFactory) -> None:
    browser, proxy = app.test_client(), {"Authorization": "Basic YWRhOnNlY3JldA=="}
    log_in(browser, new_key(database, "ada"))
    assert browser.get("/v1/session", headers=proxy).get_json()["owner"] == "ada"
    assert browser.post("/v1/training-jobs/cancel", json={}, headers=proxy).status_code == 403
    assert app.test_client().get("/v1/session", headers=proxy).status_code == 401
    assert browser.get("/v1/session", headers={"Authorization": "Bearer mimeo_x"}).status_code == 401


@pytest.mark.parametrize(
    "path", ["/v1/session", "/v1/training-jobs", "/v1/datasets/digits/preview", "/v1/absent-model", "/jobs", "/"]
)
def test_answers_to_an_owner_are_not_stored_by_proxies(app: DocumentedApi, database: SessionFactory, path: str) -> None:
    browser = app.test_client()
    log_in(browser, new_key(database, "ada"))
    answer = browser.get(path, headers={"Accept": "text/html, application/json"})
    assert answer.cache_control.private or answer.status_code == 404


@pytest.mark.parametrize(
    "cookie", ["mimeo_session=", "mimeo_session=\xff\xfe", "mimeo_session=%ED%A0%80", f"mimeo_session={'x' * 4_000}"]
)
def test_malformed_cookies_are_refused(app: DocumentedApi, database: SessionFactory, cookie: str) -> None:
    client = app.test_client()
    client.environ_base["HTTP_COOKIE"] = cookie
    assert client.get("/v1/queue").status_code == 401
    assert client.delete("/v1/session", headers=PAGE).status_code == 204


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "bearer\t{key}", "Bearer {key},Bearer {key}", "Bearer \xe9", "{key}"]
)
def test_malformed_authorization_is_refused(app: DocumentedApi, database: SessionFactory, header: str) -> None:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = header.replace("{key}", new_key(database, "ada"))
    assert client.get("/v1/queue").status_code == 401
    assert client_of(app, f" {new_key(database, 'ada')} ").get("/v1/queue").status_code == 200


def test_oldest_session_of_a_key_ends_when_too_many_start(
    server_of: ServerOf, database: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_sessions, "MOST", 2)
    app, key = server_of(), new_key(database, "ada")
    browsers = [app.test_client() for _ in range(4)]
    other = app.test_client()
    log_in(other, new_key(database, "ada"))
    for age, browser in enumerate(browsers):
        log_in(browser, key)
        with transaction(database) as session:
            session.execute(update(LoginSession).values(created_at=LoginSession.created_at - 1000 * (age + 1)))
    statuses = [browser.get("/v1/session").status_code for browser in (*browsers, other)]
    assert statuses == [401, 401, 200, 200, 200]
