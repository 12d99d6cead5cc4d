"""Jobs and models that belong to all owners: each owner reads them, and an administrator alone changes them."""

import pytest
from flask.testing import FlaskClient

from api.openapi import DocumentedApi
from api.routes import model_exports
from shared.db.session import SessionFactory, transaction
from shared.db.tables import Job, Model
from shared.identity import Scope
from shared.job_status import JobKind
from shared.settings import Settings
from tests.api.tenants import client_of, new_key
from tests.api.worker_hands import WorkerWrites

JOB = {"model_type": "vae", "dataset": "digits", "seed": 1}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "required", "quota_waiting_jobs": 2})


@pytest.fixture(autouse=True)
def _brief_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_exports, "WAIT_S", 0.0)


@pytest.fixture
def ada(app: DocumentedApi, database: SessionFactory) -> FlaskClient:
    return client_of(app, new_key(database, "ada"))


@pytest.fixture
def model(ada: FlaskClient, worker: WorkerWrites) -> str:
    """A published model of the owner `ada`."""
    assert ada.post("/v1/training-jobs", json=JOB).status_code == 202
    return worker.publish(worker.claim(JobKind.TRAINING))


@pytest.fixture
def shared_model(model: str, database: SessionFactory) -> str:
    with transaction(database) as session:
        row = session.get_one(Model, model)
        row.owner = None
        session.get_one(Job, row.job_id).owner = None
    return model


def export(client: FlaskClient, model: str) -> tuple[int, str]:
    """Ask for the graphs of a model. Returns the status, and the id of the job or the code of the problem."""
    answer = client.get(f"/v1/models/{model}/export?format=onnx", headers={"Prefer": "respond-async"})
    return answer.status_code, answer.get_json().get("id") or answer.get_json()["code"]


def test_export_of_a_shared_model_is_changed_by_an_administrator_alone(
    app: DocumentedApi, database: SessionFactory, ada: FlaskClient, shared_model: str
) -> None:
    bob = client_of(app, new_key(database, "bob"))
    status, job = export(ada, shared_model)
    assert (status, export(bob, shared_model)) == (202, (202, job))
    path = f"/v1/generation-jobs/{job}"
    for client in (ada, bob):
        assert client.get(path).status_code == 200
        assert client.post(f"{path}/cancel").status_code == 403
        assert client.patch(path, json={"name": "mine"}).status_code == 403
        assert client.delete(path).status_code == 403
        for body in ({}, {"ids": [job]}):
            assert client.post("/v1/generation-jobs/cancel", json=body).get_json()["count"] == 0
    assert bob.get(path).get_json()["status"] == "queued"

    root = client_of(app, new_key(database, "root", Scope.ADMIN))
    assert root.post(f"{path}/cancel").status_code == 200
    assert bob.delete(path).status_code == 403
    assert root.delete(path).status_code == 204
    assert export(bob, shared_model)[0] == 202


def test_export_that_starts_a_job_needs_the_scope_write(
    app: DocumentedApi, database: SessionFactory, ada: FlaskClient, model: str, worker: WorkerWrites
) -> None:
    reader = client_of(app, new_key(database, "ada", Scope.READ))
    assert export(reader, model) == (403, "forbidden")
    assert reader.get(f"/v1/models/{model}/export").status_code == 200
    status, job = export(ada, model)
    assert (status, export(reader, model)) == (202, (202, job))
    lease = worker.claim(JobKind.GENERATION)
    worker.file(lease, "decoder.onnx", b"a graph", kind="output", media_type="application/octet-stream")
    worker.finish(lease, {"parts": ["decoder"]})
    assert reader.get(f"/v1/models/{model}/export?format=onnx&part=decoder").data == b"a graph"


def test_export_counts_among_the_waiting_jobs(ada: FlaskClient, model: str) -> None:
    for _ in range(2):
        assert ada.post("/v1/training-jobs", json=JOB).status_code == 202
    assert export(ada, model) == (429, "too_many_jobs")
