import json
import time

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import text

from api.app import create_app
from api.openapi import DocumentedApi
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.settings import Settings

pytestmark = pytest.mark.slow_on_postgresql

JSON = {"Content-Type": "application/json"}
TRAINING = "/v1/training-jobs"


@pytest.mark.parametrize(
    ("method", "path", "headers", "data", "status", "code"),
    [
        ("GET", "/nowhere", {}, b"", 404, "not_found"),
        ("GET", "/v1/training-jobs/", {}, b"", 404, "not_found"),
        ("DELETE", TRAINING, {}, b"", 405, "method_not_allowed"),
        ("POST", TRAINING, JSON, b"{", 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"seed": NaN}', 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"name": "\xff"}', 400, "bad_request"),
        ("POST", TRAINING, JSON, b"[" * 100_000, 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"a":' * 80 + b"1" + b"}" * 80, 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"model_type": "vae", "seed": 1, "seed": 2}', 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"hyperparameters": {"a": [{"b": 1, "b": 1}]}}', 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"a": [' + b"0," * 200_000 + b"0]}", 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"a": [' + b"[]," * 200_000 + b"0]}", 400, "bad_request"),
        ("POST", TRAINING, JSON, b'{"a": [' + b"{}," * 200_000 + b"0]}", 400, "bad_request"),
        ("POST", TRAINING, JSON, b"", 400, "bad_request"),
        ("POST", TRAINING, JSON, b"[]", 422, "invalid_request"),
        ("POST", TRAINING, JSON, b"null", 422, "invalid_request"),
        ("POST", TRAINING, JSON, b'"{}"', 422, "invalid_request"),
        ("POST", TRAINING, JSON, b'{"model_type": "vae", "name": "\\u0000"}', 422, "invalid_request"),
        ("POST", TRAINING, JSON, b'{"model_type": "vae", "metadata": {"\\ud800": "x"}}', 422, "invalid_request"),
        ("POST", TRAINING, JSON, b'{"model_type": "\\ud800"}', 422, "invalid_request"),
        ("POST", TRAINING, JSON, b'{"model_type": "vae", "seed": 1e400}', 422, "invalid_request"),
        ("POST", TRAINING, JSON, b'{"model_type": "vae", "seed": ' + b"9" * 5000 + b"}", 400, "bad_request"),
        ("POST", TRAINING, {"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ("POST", TRAINING, {}, b"", 415, "unsupported_media_type"),
        ("POST", TRAINING, JSON, b" " * ((4 << 20) + 1), 413, "too_large"),
        ("POST", "/v1/generation-jobs", JSON, b'{"model": "mdl_1"}', 422, "invalid_request"),
    ],
)
def test_each_refusal_is_a_problem_document(
    client: FlaskClient, method: str, path: str, headers: dict[str, str], data: bytes, status: int, code: str
) -> None:
    response = client.open(path, method=method, headers=headers, data=data)

    problem = response.get_json()
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, "about:blank")
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == f"urn:mimeo:request:{response.headers['X-Request-Id']}"


def test_refused_method_lists_the_allowed_methods(client: FlaskClient) -> None:
    assert set(client.put("/v1/models").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_each_invalid_field_is_named(client: FlaskClient) -> None:
    body = {"seed": -1, "priority": "urgent", "model_type": "vae", "metadata": {"a": 1}, "colour": "blue"}

    errors = client.post(TRAINING, json=body).get_json()["errors"]

    assert {error["pointer"] for error in errors} == {"/seed", "/priority", "/metadata/a", "/colour"}


def test_unexpected_error_is_logged_in_full_and_answered_without_details(
    app: DocumentedApi, client: FlaskClient, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise RuntimeError("the password is swordfish")

    app.view_functions["root.get_root"] = broken

    response = client.get("/")

    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert response.get_json()["code"] == "internal"
    assert "swordfish" not in response.text
    assert "Traceback" not in response.text
    log = "".join(capsys.readouterr())
    assert "swordfish" in log
    assert response.headers["X-Request-Id"] in log


def test_unavailable_database_is_503_with_retry_after(settings: Settings) -> None:
    unavailable = Settings(home=settings.home, database_url=SecretStr("postgresql://nobody@127.0.0.1:1/mimeo"))
    client = create_app(unavailable, broker=NullBroker()).test_client()

    for response in (
        client.get(TRAINING),
        client.post(TRAINING, json={"model_type": "vae"}),
        client.get("/v1/workers"),
    ):
        assert response.status_code == 503
        assert response.get_json()["code"] == "unavailable"
        assert int(response.headers["Retry-After"]) > 0


def test_refused_request_changes_no_row(client: FlaskClient, database: SessionFactory) -> None:
    client.post(TRAINING, json={"model_type": "vae", "dataset": "shakespeare"})

    with database() as session:
        assert session.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0


def unknown_keys(count: int) -> dict[str, int]:
    return {"model_type": 1, **{f"hyperparametr{number}": number for number in range(count)}}


def test_response_to_many_mistakes_has_fifty_and_the_number_of_the_others(client: FlaskClient) -> None:
    for method, path, body, total in (
        ("POST", TRAINING, unknown_keys(900), 901),
        ("POST", "/v1/generation-jobs", unknown_keys(900), 902),  # and the model is missing
        ("GET", f"{TRAINING}?{'&'.join(f'statu{number}=1' for number in range(300))}", None, 300),
    ):
        response = client.open(path, method=method, json=body)

        assert response.status_code == 422
        assert len(response.get_json()["errors"]) == 50
        assert response.get_json()["detail"].endswith(f" And {total - 3} more.")
        assert len(response.data) < 20_000


def test_work_for_a_body_of_tens_of_thousands_of_keys_is_bounded(client: FlaskClient) -> None:
    """Refused in a small multiple of the time that it takes to parse the body."""
    body = json.dumps(unknown_keys(52_000)).encode()
    client.post(TRAINING, data=body, headers=JSON)
    started = time.process_time()
    json.loads(body)
    parsed = time.process_time()
    response = client.post(TRAINING, data=body, headers=JSON)
    refused = time.process_time()

    assert response.status_code == 400
    assert "more than 1,000 objects and members" in response.get_json()["detail"]
    assert refused - parsed < 10 * (parsed - started)
