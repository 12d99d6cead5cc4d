"""Quotas of an owner: waiting jobs, stored bytes, requests a minute."""

import io
import threading
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from api.app import create_app
from api.openapi import DocumentedApi
from api.runtime import EXTENSION
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from tests import servers
from tests.api.tenants import client_of, new_key, replacement, upload
from tests.api.worker_hands import WorkerWrites

JOB = {"model_type": "vae", "dataset": "digits", "seed": 1}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    quotas = {"quota_waiting_jobs": 2, "quota_stored_bytes": 4_000}
    return settings.model_copy(update={"auth": "required", **quotas})


@pytest.fixture
def ada(app: DocumentedApi, database: SessionFactory) -> FlaskClient:
    return client_of(app, new_key(database, "ada"))


@pytest.fixture
def bob(app: DocumentedApi, database: SessionFactory) -> FlaskClient:
    return client_of(app, new_key(database, "bob"))


def test_jobs_beyond_those_that_may_wait_are_refused(ada: FlaskClient, bob: FlaskClient, worker: WorkerWrites) -> None:
    waiting = [ada.post("/v1/training-jobs", json=JOB).get_json()["id"] for _ in range(2)]
    refused = ada.post("/v1/training-jobs", json=JOB)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    assert "2 jobs of ada are waiting" in refused.get_json()["detail"]
    assert bob.post("/v1/training-jobs", json=JOB).status_code == 202

    ada.post(f"/v1/training-jobs/{waiting[0]}/cancel")
    assert ada.post("/v1/training-jobs", json=JOB).status_code == 202
    assert ada.post("/v1/training-jobs", json=JOB).status_code == 429
    worker.claim(JobKind.TRAINING)
    assert ada.post("/v1/training-jobs", json=JOB).status_code == 202


def test_simultaneous_submissions_do_not_exceed_the_quota(
    app: DocumentedApi, database: SessionFactory, ada: FlaskClient
) -> None:
    key = new_key(database, "ada")
    statuses: list[int] = []

    def submit() -> None:
        statuses.append(client_of(app, key).post("/v1/training-jobs", json=JOB).status_code)

    threads = [threading.Thread(target=submit) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202, 202, 429, 429, 429, 429]


def test_files_beyond_the_quota_are_refused(ada: FlaskClient, bob: FlaskClient) -> None:
    assert ada.post("/v1/datasets", **upload("one")).status_code == 201
    refused = ada.post("/v1/datasets", **upload("two", "A longer text. " * 300))
    assert (refused.status_code, refused.get_json()["code"]) == (409, "quota_exceeded")
    assert "1,400 of 4,000 bytes" in refused.get_json()["detail"]
    assert [
        each["name"] for each in ada.get("/v1/datasets?limit=100").get_json()["data"] if each["name"] == "two"
    ] == []
    assert bob.post("/v1/datasets", **upload("one")).status_code == 201
    assert ada.delete("/v1/datasets/one").status_code == 204
    assert ada.post("/v1/datasets", **upload("one")).status_code == 201


def test_training_is_refused_while_the_files_exceed_the_quota(ada: FlaskClient, worker: WorkerWrites) -> None:
    job_id = ada.post("/v1/training-jobs", json=JOB).get_json()["id"]
    lease = worker.claim(JobKind.TRAINING)
    worker.file(lease, "epoch-0001.png", b"x" * 5_000)
    worker.publish(lease)
    refused = ada.post("/v1/training-jobs", json=JOB)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "quota_exceeded")
    assert ada.delete(f"/v1/training-jobs/{job_id}").status_code == 204
    assert ada.post("/v1/training-jobs", json=JOB).status_code == 202


@pytest.mark.parametrize("step", ["pause", "cancel"])
def test_jobs_that_are_queued_again_count_as_waiting(ada: FlaskClient, worker: WorkerWrites, step: str) -> None:
    again = {"pause": "resume", "cancel": "retry"}[step]
    aside = [ada.post("/v1/training-jobs", json=JOB).get_json()["id"] for _ in range(2)]
    for job_id in aside:
        assert ada.post(f"/v1/training-jobs/{job_id}/{step}").status_code == 200
    assert ada.post("/v1/training-jobs", json=JOB).status_code == 202

    assert ada.post(f"/v1/training-jobs/{aside[0]}/{again}").status_code == 202
    refused = ada.post(f"/v1/training-jobs/{aside[1]}/{again}")
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_jobs")
    assert "2 jobs of ada are waiting" in refused.get_json()["detail"]
    assert ada.get(f"/v1/training-jobs/{aside[1]}").get_json()["status"] != "queued"
    worker.claim(JobKind.TRAINING)
    assert ada.post(f"/v1/training-jobs/{aside[1]}/{again}").status_code == 202


def test_upload_without_a_length_is_refused_by_its_size(app: DocumentedApi, ada: FlaskClient) -> None:
    with app.test_request_context("/v1/datasets", method="POST", **upload("one", "A longer text. " * 300)) as context:
        body = context.request.get_data()
        content_type = context.request.content_type
    answer = ada.post(
        "/v1/datasets",
        input_stream=io.BytesIO(body),
        content_type=content_type,
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert (answer.status_code, answer.get_json()["code"]) == (409, "quota_exceeded")
    assert "would take 4,500 of 4,000 bytes" in answer.get_json()["detail"]
    assert ada.get("/v1/datasets/one").status_code == 404


def test_simultaneous_uploads_do_not_exceed_the_quota(
    app: DocumentedApi, database: SessionFactory, ada: FlaskClient
) -> None:
    key = new_key(database, "ada")
    answers: list[int] = []
    start = threading.Barrier(3)

    def send(name: str) -> None:
        start.wait()
        answers.append(client_of(app, key).post("/v1/datasets", **upload(name)).status_code)

    threads = [threading.Thread(target=send, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201, 201, 409]
    assert ada.get("/v1/storage").get_json()["used"]["dataset"] == 2_800


def test_replacement_needs_the_difference_alone(ada: FlaskClient) -> None:
    assert ada.post("/v1/datasets", **upload("one", "A longer text. " * 200)).status_code == 201
    assert ada.put("/v1/datasets/one", **replacement("Another text. " * 200)).status_code == 200
    refused = ada.put("/v1/datasets/one", **replacement("Another text. " * 300))
    assert (refused.status_code, refused.get_json()["code"]) == (409, "quota_exceeded")
    assert ada.get("/v1/datasets/one").get_json()["size"] == 2_800


@pytest.mark.parametrize("has_redis", [True, False])
def test_requests_beyond_those_of_a_minute_are_refused(
    settings: Settings,
    database: SessionFactory,
    broker: NullBroker,
    valkey: servers.Valkey,
    tmp_path: Path,
    has_redis: bool,
    request: pytest.FixtureRequest,
) -> None:
    url = valkey.url if has_redis else f"unix://{tmp_path / 'absent.sock'}"
    limited = settings.model_copy(update={"quota_requests_per_minute": 5, "redis_url": SecretStr(url)})
    apps = [create_app(limited, broker=broker) for _ in range(2 if has_redis else 1)]  # Redis counts for all processes
    for app in apps:
        request.addfinalizer(app.extensions[EXTENSION].close)
    keys = {owner: new_key(database, owner) for owner in ("ada", "bob")}
    answers = [client_of(apps[turn % len(apps)], keys["ada"]).get("/v1/queue") for turn in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert "Retry-After" not in answers[0].headers  # where it is the answer's own, the limit does not change it
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert "ada may send 5 requests a minute" in answers[-1].get_json()["detail"]
    assert client_of(apps[0], keys["bob"]).get("/v1/queue").status_code == 200
    assert apps[0].test_client().get("/healthz").status_code == 200
