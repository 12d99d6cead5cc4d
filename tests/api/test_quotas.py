"""Quotas of an owner: waiting jobs, stored bytes, requests a minute."""

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
from tests.api.tenants import client_of, new_key, upload
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
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert "ada may send 5 requests a minute" in answers[-1].get_json()["detail"]
    assert client_of(apps[0], keys["bob"]).get("/v1/queue").status_code == 200
    assert apps[0].test_client().get("/healthz").status_code == 200
