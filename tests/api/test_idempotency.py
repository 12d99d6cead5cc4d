"""Repeated POST requests with one idempotency key create one job."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from api.openapi import DocumentedApi
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import IdempotencyKey
from shared.job_status import JobKind
from shared.services import idempotency
from tests.api.worker_hands import WorkerWrites

VAE = {"model_type": "vae", "dataset": "digits"}


def train(client: FlaskClient, key: str | None = "key-1", **fields: object) -> TestResponse:
    return client.post("/v1/training-jobs", json={**VAE, **fields}, headers={"Idempotency-Key": key} if key else {})


def total(client: FlaskClient) -> int:
    return len(client.get("/v1/training-jobs?limit=100").get_json()["data"])


def test_same_key_and_body_give_the_same_job_and_one_notification(client: FlaskClient, broker: NullBroker) -> None:
    first, again = train(client), train(client)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(broker.sent) == 1


def test_equivalent_body_is_the_same_request(client: FlaskClient) -> None:
    first = train(client, seed=7)
    reordered = client.post(
        "/v1/training-jobs",
        data='{ "seed": 7,\n "dataset": "digits", "model_type": "vae" }',
        headers={"Idempotency-Key": "key-1", "Content-Type": "application/json"},
    )
    assert reordered.get_json()["id"] == first.get_json()["id"]


def test_same_key_with_another_body_is_refused(client: FlaskClient, worker: WorkerWrites) -> None:
    train(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))

    other = train(client, seed=8)
    other_kind = client.post("/v1/generation-jobs", json={"model": model}, headers={"Idempotency-Key": "key-1"})

    for refused in (other, other_kind):
        assert (refused.status_code, refused.get_json()["code"]) == (422, "idempotency_key_reused")
        assert refused.get_json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert total(client) == 1


def test_repeated_request_shows_the_end_of_a_finished_job(client: FlaskClient, worker: WorkerWrites) -> None:
    train(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))

    again = train(client)

    assert (again.status_code, again.get_json()["model"]) == (200, model)


def test_repeated_request_with_prefer_wait_waits_for_the_end_of_a_generation(
    client: FlaskClient, worker: WorkerWrites, broker: NullBroker
) -> None:
    train(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))
    headers = {"Idempotency-Key": "drawing", "Prefer": "wait=1"}
    first = client.post("/v1/generation-jobs", json={"model": model}, headers=headers)
    worker.finish(worker.claim(JobKind.GENERATION))
    notifications = len(broker.sent)

    again = client.post("/v1/generation-jobs", json={"model": model}, headers=headers)

    assert (first.status_code, again.status_code) == (202, 200)
    assert again.get_json()["id"] == first.get_json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(broker.sent) == notifications


def test_refused_request_does_not_reserve_its_key(client: FlaskClient) -> None:
    assert train(client, preset="fats").status_code == 422
    assert train(client).status_code == 202


def test_deleted_job_frees_its_key(client: FlaskClient) -> None:
    first = train(client).get_json()["id"]
    client.post(f"/v1/training-jobs/{first}/cancel")
    client.delete(f"/v1/training-jobs/{first}")
    again = train(client)
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (202, False)


def test_key_expires_after_a_day(client: FlaskClient, database: SessionFactory) -> None:
    first = train(client).get_json()["id"]
    with transaction(database) as session:
        session.execute(update(IdempotencyKey).values(created_at=datetime.now(UTC) - timedelta(hours=25)))
        idempotency.expire(session)
    assert train(client).get_json()["id"] != first


@pytest.mark.parametrize("key", ["", "two words", "ümlaut", "x" * 201, "tab\there"])
def test_invalid_key_is_refused_and_named(client: FlaskClient, key: str) -> None:
    refused = client.post("/v1/training-jobs", json=VAE, headers={"Idempotency-Key": key})
    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["pointer"] == "Idempotency-Key"
    assert total(client) == 0


def test_twenty_concurrent_requests_with_one_key_make_one_job(app: DocumentedApi, broker: NullBroker) -> None:
    def send(_: int) -> tuple[int, str]:
        response = train(app.test_client(), seed=7)
        return response.status_code, response.get_json()["id"]

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(send, range(20)))

    assert len(answers) == 1
    assert answers.pop()[0] == 202
    assert total(app.test_client()) == 1
    assert len(broker.sent) == 1


def test_requests_without_a_key_each_make_a_job(client: FlaskClient) -> None:
    assert train(client, None).get_json()["id"] != train(client, None).get_json()["id"]
