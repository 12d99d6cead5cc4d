"""API keys: each route of the OpenAPI document without one, with a wrong one, and with one of each scope."""

from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from api.openapi import DocumentedApi
from api.runtime import EXTENSION
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import ApiKey
from shared.identity import Scope
from shared.services import api_keys
from shared.settings import Settings
from tests.api.tenants import client_of, new_key

pytestmark = pytest.mark.slow_on_postgresql

PUBLIC = {("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/v1/session"), ("DELETE", "/v1/session")}


def operations() -> list[tuple[str, str]]:
    """Method and path of every operation of the document, with an id of no resource."""
    paths = create_app(Settings(), broker=NullBroker()).spec_json["paths"]
    zeros = "0" * 26
    return [
        (method.upper(), path.replace("{id}", f"trn_{zeros}").replace("{name}", "absent"))
        for path, methods in paths.items()
        for method in methods
    ]


OPERATIONS = operations()
PRIVATE = [each for each in OPERATIONS if each not in PUBLIC]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "required"})


def test_document_has_the_operations() -> None:
    assert len(PRIVATE) > 45


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_request_without_a_valid_key_is_refused(
    app: DocumentedApi, database: SessionFactory, method: str, path: str
) -> None:
    valid = new_key(database, "ada")
    for headers in (
        {},
        {"Authorization": "Bearer mimeo_000000000000_" + "x" * 43},
        {"Authorization": f"Bearer {valid[:-1]}{'A' if valid[-1] != 'A' else 'B'}"},
        {"Authorization": f"Basic {valid}"},
        {"Cookie": f"mimeo_session={valid}"},
    ):
        response = app.test_client().open(path, method=method, headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="mimeo"'
        if method != "HEAD":
            assert "mimeo keys create" in response.get_json()["detail"]


@pytest.mark.parametrize(("method", "path"), [each for each in PRIVATE if each[1] != "/metrics"])
def test_scopes_permit_reads_and_writes(app: DocumentedApi, database: SessionFactory, method: str, path: str) -> None:
    reader = client_of(app, new_key(database, "ada", Scope.READ)).open(path, method=method)
    writer = client_of(app, new_key(database, "ada", Scope.WRITE)).open(path, method=method)
    scraper = client_of(app, new_key(database, "ada", Scope.METRICS)).open(path, method=method)

    assert (reader.status_code == 403) == (method != "GET")
    assert writer.status_code not in {401, 403}
    assert scraper.status_code == 403
    reader.close()
    writer.close()


def test_metrics_need_their_scope_or_admin(app: DocumentedApi, database: SessionFactory) -> None:
    statuses = {scope: client_of(app, new_key(database, "ada", scope)).get("/metrics").status_code for scope in Scope}
    assert statuses == {Scope.METRICS: 200, Scope.ADMIN: 200, Scope.READ: 403, Scope.WRITE: 403}


def test_health_and_documentation_need_no_key(client: FlaskClient) -> None:
    for path in ("/healthz", "/readyz", "/openapi/openapi.json", "/openapi/swagger"):
        assert client.get(path).status_code in {200, 503}
    assert client.get("/v1/absent").status_code == 404


def test_revoked_and_expired_keys_are_refused(app: DocumentedApi, database: SessionFactory) -> None:
    revoked, expiring = new_key(database, "ada"), new_key(database, "ada", days=30)
    for key in (revoked, expiring):
        assert client_of(app, key).get("/v1/queue").status_code == 200
    with transaction(database) as session:
        api_keys.revoke(session, revoked)
        session.get_one(ApiKey, expiring.split("_")[1]).expires_at = datetime.now(UTC) - timedelta(seconds=1)
    for key in (revoked, expiring):
        assert client_of(app, key).get("/v1/queue").status_code == 401


def test_table_holds_no_key(database: SessionFactory) -> None:
    key = new_key(database, "ada")
    with transaction(database) as session:
        row = session.get_one(ApiKey, key.split("_")[1])
        stored = "|".join(str(getattr(row, column.name)) for column in ApiKey.__table__.columns)
    assert key.split("_", 2)[2] not in stored
    assert len(key.split("_", 2)[2]) == 43  # 256 bits


def test_preflight_of_a_permitted_origin_needs_no_key(
    settings: Settings, database: SessionFactory, broker: NullBroker
) -> None:
    origin = "http://localhost:3000"
    app = create_app(settings.model_copy(update={"cors_origins": (origin,)}), broker=broker)
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    response = app.test_client().options("/v1/queue", headers=asked)
    assert response.status_code == 200
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]


def test_browser_logs_in_and_out(app: DocumentedApi, database: SessionFactory) -> None:
    key, browser, page = (
        new_key(database, "ada", Scope.READ, Scope.WRITE),
        app.test_client(),
        {"Sec-Fetch-Site": "same-origin"},
    )

    wrong = browser.post("/v1/session", json={"key": "mimeo_x"}, headers=page)
    assert wrong.status_code == 401
    answer = browser.post("/v1/session", json={"key": f" {key}\n"}, headers=page)
    assert answer.get_json()["owner"] == "ada"
    cookie = answer.headers["Set-Cookie"]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Expires="))
    assert key not in cookie
    assert browser.get("/v1/session").get_json() == answer.get_json()
    assert browser.get("/jobs").status_code == 200

    assert browser.delete("/v1/session", headers=page).status_code == 204
    assert browser.get("/v1/session").status_code == 401


def test_cookie_is_secure_on_https(
    settings: Settings, database: SessionFactory, broker: NullBroker, request: pytest.FixtureRequest
) -> None:
    app = create_app(settings.model_copy(update={"trusted_proxies": 1}), broker=broker)
    request.addfinalizer(app.extensions[EXTENSION].close)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "localhost"}
    answer = app.test_client().post("/v1/session", json={"key": new_key(database, "ada")}, headers=headers)
    assert "Secure" in answer.headers["Set-Cookie"]


def test_session_ends_with_its_key(app: DocumentedApi, database: SessionFactory) -> None:
    key, browser = new_key(database, "ada"), app.test_client()
    assert browser.post("/v1/session", json={"key": key}).status_code == 200
    with transaction(database) as session:
        api_keys.revoke(session, key)
    assert browser.get("/v1/session").status_code == 401


WRITES = [each for each in PRIVATE if each[0] not in {"GET", "HEAD"}]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_cookie_alone_permits_no_write_of_another_page(
    app: DocumentedApi, database: SessionFactory, method: str, path: str
) -> None:
    browser = app.test_client()
    browser.post("/v1/session", json={"key": new_key(database, "ada")})
    for headers in (
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert browser.open(path, method=method, headers=headers).status_code == 403
    own = browser.open(path, method=method, headers={"Sec-Fetch-Site": "same-origin"})
    assert own.status_code != 403


def test_pages_lead_to_the_login_and_back(app: DocumentedApi, database: SessionFactory) -> None:
    browser = app.test_client()
    html = {"Accept": "text/html"}
    for path, target in (
        ("/", "%2F"),
        ("/jobs?status=failed", "%2Fjobs%3Fstatus%3Dfailed"),
        ("/play/mdl_x", "%2Fplay%2Fmdl_x"),
    ):
        response = browser.get(path, headers=html)
        assert (response.status_code, response.headers["Location"]) == (302, f"/login?next={target}")
    assert browser.get("/login", headers=html).status_code == 200
    browser.post("/v1/session", json={"key": new_key(database, "ada")})
    assert browser.get("/jobs", headers=html).status_code == 200


def test_login_while_authentication_is_off_is_refused(settings: Settings, database: SessionFactory) -> None:
    client = create_app(settings.model_copy(update={"auth": "off"}), broker=NullBroker()).test_client()
    assert client.post("/v1/session", json={"key": "mimeo_x"}).status_code == 409
    assert client.get("/login").headers["Location"] == "/"
    assert client.get("/v1/session").get_json()["owner"] == "local"
