"""Trainings that ask for a device and for labels of their worker."""

from typing import Any

from flask.testing import FlaskClient

from shared.db.session import SessionFactory
from shared.job_status import JobKind
from tests import jobs
from tests.api.worker_hands import WorkerWrites
from tests.heartbeats import beat

REQUEST = {"model_type": "vae", "dataset": "digits", "seed": 7}


def submit(client: FlaskClient, **fields: object) -> dict[str, Any]:
    response = client.post("/v1/training-jobs", json={**REQUEST, **fields})
    assert response.status_code == 202, response.text
    return dict(response.get_json())


def shown(client: FlaskClient, job_id: str) -> dict[str, Any]:
    return dict(client.get(f"/v1/training-jobs/{job_id}").get_json())


def test_job_without_an_able_worker_is_accepted_and_says_so(client: FlaskClient, database: SessionFactory) -> None:
    job = submit(client, device="cuda", requires=["large", "a100", "large"])
    assert (job["requested_device"], job["requires"], job["device"]) == ("cuda", ["a100", "large"], None)
    assert job["waiting_for"] == "able_worker"
    assert jobs.read_job(database, job["id"]).placement == "cuda,a100,large"

    beat(database, "wrk_labelled", "cuda", labels="a100,large")
    assert shown(client, job["id"])["waiting_for"] == "worker"
    [listed] = client.get("/v1/training-jobs").get_json()["data"]
    assert listed["waiting_for"] == "worker"
    [worker] = client.get("/v1/workers").get_json()["data"]
    assert worker["labels"] == ["a100", "large"]


def test_etag_changes_with_the_reason_of_the_wait(client: FlaskClient, database: SessionFactory) -> None:
    path = f"/v1/training-jobs/{submit(client)['id']}"
    before = client.get(path).headers["ETag"]
    beat(database, "wrk_labelled", "cuda", labels="")
    assert client.get(path, headers={"If-None-Match": before}).status_code == 200


def test_job_without_wishes_runs_anywhere(client: FlaskClient, worker: WorkerWrites) -> None:
    worker.heartbeat(JobKind.TRAINING)
    job = submit(client)
    assert (job["requested_device"], job["requires"], job["waiting_for"]) == ("auto", [], "worker")
    worker.claim(JobKind.TRAINING)
    assert shown(client, job["id"])["waiting_for"] is None


def test_job_of_an_earlier_release_has_no_wishes(client: FlaskClient, database: SessionFactory) -> None:
    job_id = submit(client)["id"]
    spec = jobs.read_job(database, job_id).spec
    earlier = {name: value for name, value in spec.items() if name not in {"device", "requires"}}
    jobs.set_values(database, job_id, spec=earlier)
    job = shown(client, job_id)
    assert (job["requested_device"], job["requires"]) == ("auto", [])


def test_retried_job_keeps_its_wishes(client: FlaskClient, database: SessionFactory) -> None:
    job_id = submit(client, device="cuda", requires=["a100"])["id"]
    assert client.post(f"/v1/training-jobs/{job_id}/cancel").status_code == 200
    retried = client.post(f"/v1/training-jobs/{job_id}/retry").get_json()
    assert (retried["requested_device"], retried["requires"]) == ("cuda", ["a100"])
    assert jobs.read_job(database, job_id).placement == "cuda,a100"


def test_invalid_label_is_refused(client: FlaskClient) -> None:
    response = client.post("/v1/training-jobs", json={**REQUEST, "requires": ["a100", "Large"]})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.get_json()["errors"]] == ["/requires/1"]


def test_dry_run_shows_the_wishes_and_warns_without_an_able_worker(
    client: FlaskClient, database: SessionFactory
) -> None:
    body = {**REQUEST, "dry_run": True, "device": "cuda", "requires": ["a100"]}
    beat(database, "wrk_labelled", "cuda", labels="large")
    answer = client.post("/v1/training-jobs", json=body).get_json()
    assert (answer["requested_device"], answer["requires"]) == ("cuda", ["a100"])
    assert [warning["code"] for warning in answer["warnings"]] == ["no_able_worker"]
    beat(database, "wrk_labelled", "cuda", labels="a100")
    assert client.post("/v1/training-jobs", json=body).get_json()["warnings"] == []
