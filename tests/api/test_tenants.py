"""Two owners: everything of one is 404 to the other, on every route of the OpenAPI document."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.openapi import DocumentedApi
from shared.db.session import SessionFactory, transaction
from shared.db.tables import Job, Model, Worker
from shared.identity import Scope
from shared.job_status import JobKind
from shared.services import fair_share
from shared.settings import Settings
from tests import jobs
from tests.api.tenants import client_of, new_key, replacement, upload
from tests.api.worker_hands import WorkerWrites

JOB = {"model_type": "vae", "dataset": "digits", "seed": 1}
LSTM = {"model_type": "lstm", "dataset": "notes", "hyperparameters": {"window": 10}}


@dataclass(frozen=True, kw_only=True)
class World:
    """What one owner has. queued: jobs that wait, by kind; the others have ended."""

    client: FlaskClient
    trained: str
    model: str
    checkpoint: str
    sample: str
    generated: str
    queued: dict[str, str]

    def seen(self) -> dict[str, Any]:
        """Everything that the lists show."""
        paths = ("/v1/training-jobs", "/v1/generation-jobs", "/v1/models", "/v1/datasets")
        used = self.client.get("/v1/storage").get_json()["used"]
        return {path: self.client.get(path).get_json() for path in paths} | {"used": used}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "required"})


@pytest.fixture
def ada(app: DocumentedApi, database: SessionFactory, worker: WorkerWrites) -> World:
    client = client_of(app, new_key(database, "ada"))
    trained = client.post("/v1/training-jobs", json=JOB).get_json()["id"]
    lease = worker.claim(JobKind.TRAINING)
    worker.points(lease, "loss", [2.0, 1.0])
    worker.file(lease, "epoch-0001.png", b"picture")
    model = worker.publish(lease)
    sampling = {"mode": "random", "n": 1}
    generated = client.post("/v1/generation-jobs", json={"model": model, "sampling": sampling}).get_json()["id"]
    made = worker.claim(JobKind.GENERATION)
    worker.file(made, "images.png", b"image", kind="output")
    worker.finish(made)
    assert client.post("/v1/datasets", **upload("notes")).status_code == 201
    queued = {
        "training": client.post("/v1/training-jobs", json=LSTM, headers={"Idempotency-Key": "k"}).get_json()["id"],
        "generation": client.post("/v1/generation-jobs", json={"model": model, "sampling": sampling}).get_json()["id"],
    }
    return World(
        client=client,
        trained=trained,
        model=model,
        checkpoint=client.get(f"/v1/training-jobs/{trained}/checkpoints").get_json()["data"][0]["id"],
        sample=client.get(f"/v1/training-jobs/{trained}/samples").get_json()["data"][0]["id"],
        generated=generated,
        queued=queued,
    )


@pytest.fixture
def bob(app: DocumentedApi, database: SessionFactory) -> FlaskClient:
    return client_of(app, new_key(database, "bob"))


def requests_for(app: DocumentedApi, world: World) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A valid request of every operation with an id or a name, on a resource of `world`."""
    bodies = {"PATCH training-jobs": {"priority": "high"}, "PATCH generation-jobs": {"priority": "high"}}
    ids = {
        "training-jobs": [world.trained, world.queued["training"]],
        "generation-jobs": [world.generated, world.queued["generation"]],
        "models": [world.model],
        "artifacts": [world.sample],
        "datasets": ["notes"],
    }
    for path, methods in app.spec_json["paths"].items():
        found = re.match(r"/v1/([a-z-]+)/\{(?:id|name)\}", path)
        if found is None or found[1] == "model-types":
            continue
        for method in (each.upper() for each in methods):
            options: dict[str, Any] = {}
            if method == "PATCH":
                options = {"json": bodies.get(f"PATCH {found[1]}", {"description": "mine"})}
            elif method == "PUT":
                options = replacement("Another text. " * 100)
            for name in ids[found[1]]:
                yield method, re.sub(r"\{(id|name)\}", name, path), options


def test_everything_of_one_owner_is_unknown_to_the_other(app: DocumentedApi, ada: World, bob: FlaskClient) -> None:
    before = ada.seen()
    tried = 0
    for method, path, options in requests_for(app, ada):
        response = bob.open(path, method=method, **options)
        absent = re.sub(r"(trn|gen|mdl|art)_[0-9a-z]{26}", rf"\g<1>_{'0' * 26}", path)
        assert response.status_code == 404, (method, path, response.text)
        unknown = bob.open(absent, method=method, **_again(method, options))
        assert _without_id(response.get_json()) == _without_id(unknown.get_json()), path
        tried += 1
    assert tried > 40
    assert ada.seen() == before


def _again(method: str, options: dict[str, Any]) -> dict[str, Any]:
    return replacement("Another text. " * 100) if method == "PUT" else options


def _without_id(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name != "instance"}


def test_lists_and_figures_show_the_own_rows_alone(ada: World, bob: FlaskClient) -> None:
    for path in ("/v1/training-jobs", "/v1/generation-jobs", "/v1/models"):
        assert bob.get(path).get_json()["data"] == []
    names = [each["name"] for each in bob.get("/v1/datasets?limit=100").get_json()["data"]]
    assert "notes" not in names
    assert set(bob.get("/v1/storage").get_json()["used"].values()) <= {0}
    assert sum(ada.client.get("/v1/storage").get_json()["used"].values()) > 0
    assert bob.get("/v1/training-jobs?q=vae").get_json()["data"] == []


def test_references_to_foreign_things_are_those_to_unknown_ones(ada: World, bob: FlaskClient) -> None:
    sampling = {"mode": "random", "n": 1}
    for reference in (ada.model, ada.checkpoint, ada.trained):
        unknown = reference[:4] + "0" * 26
        answers = [
            bob.post("/v1/generation-jobs", json={"model": each, "sampling": sampling}) for each in (reference, unknown)
        ]
        answers += [bob.post("/v1/training-jobs", json={**JOB, "init_from": each}) for each in (reference, unknown)]
        assert {answer.status_code for answer in answers} == {422}
        texts = [json.dumps(_without_id(answer.get_json())).replace(reference, unknown) for answer in answers]
        assert texts[0] == texts[1]
        assert texts[2] == texts[3]
    refused = bob.post("/v1/training-jobs", json=LSTM)
    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["pointer"] == "/dataset"


def test_names_and_idempotency_keys_are_each_owners_own(ada: World, bob: FlaskClient) -> None:
    assert bob.post("/v1/datasets", **upload("notes", "Quite another text. " * 80)).status_code == 201
    own = bob.post("/v1/training-jobs", json=LSTM, headers={"Idempotency-Key": "k"})
    assert own.status_code == 202
    assert own.get_json()["id"] != ada.queued["training"]
    assert "Idempotency-Replayed" not in own.headers
    sizes = {client.get("/v1/datasets/notes").get_json()["size"] for client in (ada.client, bob)}
    assert len(sizes) == 2
    assert bob.delete(f"/v1/training-jobs/{own.get_json()['id']}").status_code == 409
    assert bob.post("/v1/training-jobs/cancel", json={}).get_json()["count"] == 1
    assert bob.delete("/v1/datasets/notes").status_code == 204
    assert ada.client.get("/v1/datasets/notes").status_code == 200


def test_bulk_operations_reach_the_own_jobs_alone(ada: World, bob: FlaskClient) -> None:
    before = ada.seen()
    for kind, job_id in ada.queued.items():
        assert bob.post(f"/v1/{kind}-jobs/cancel", json={}).get_json()["count"] == 0
        assert bob.post(f"/v1/{kind}-jobs/cancel", json={"ids": [job_id]}).get_json()["count"] == 0
    pruned = bob.post("/v1/storage/prune?older_than_days=0&models=true").get_json()
    assert pruned["jobs"] == []
    assert ada.seen() == before


def test_queue_shows_places_without_the_jobs_of_others(ada: World, bob: FlaskClient, database: SessionFactory) -> None:
    with transaction(database) as session:  # bob is next, because Ada's jobs have run for longer
        fair_share.charge(session, JobKind.TRAINING, {"ada": 1_000})
    own = bob.post("/v1/training-jobs", json=JOB).get_json()
    assert own["queue_position"] == 1
    assert bob.get("/v1/queue").get_json()["positions"] == [own["id"], None]
    assert ada.client.get("/v1/queue").get_json()["positions"] == [None, ada.queued["training"]]


def test_worker_of_a_foreign_job_shows_no_id(
    ada: World, bob: FlaskClient, worker: WorkerWrites, database: SessionFactory
) -> None:
    lease = worker.claim(JobKind.TRAINING)
    worker.heartbeat(JobKind.TRAINING)
    with transaction(database) as session:
        session.query(Worker).update({"job_id": lease.job_id})
    assert {each["job"] for each in ada.client.get("/v1/workers").get_json()["data"]} == {lease.job_id}
    assert {each["job"] for each in bob.get("/v1/workers").get_json()["data"]} == {None}


def test_streams_carry_the_changes_of_the_own_jobs_alone(ada: World, bob: FlaskClient) -> None:
    stream = bob.get("/v1/jobs/stream", buffered=False)
    frames = (str(frame, "utf-8") for frame in stream.iter_encoded())
    first = next(frames)
    assert ada.queued["training"] not in first
    ada.client.post(f"/v1/training-jobs/{ada.queued['training']}/cancel")
    own = bob.post("/v1/training-jobs", json=JOB).get_json()["id"]
    text = ""
    while own not in text or "event: job" not in text:
        text += next(frames)
    stream.close()
    assert ada.queued["training"] not in text


def test_ready_made_models_belong_to_all_and_admins_delete_them(
    app: DocumentedApi, database: SessionFactory, ada: World, bob: FlaskClient
) -> None:
    with transaction(database) as session:
        model = session.get_one(Model, ada.model)
        model.owner = None
        session.get_one(Job, model.job_id).owner = None
    assert bob.get(f"/v1/models/{ada.model}").status_code == 200
    assert bob.get(f"/v1/artifacts/{ada.sample}").status_code == 200
    sampling = {"mode": "random", "n": 1}
    answer = bob.post("/v1/generation-jobs", json={"model": ada.model, "sampling": sampling})
    assert answer.status_code == 202
    assert ada.client.get(f"/v1/generation-jobs/{answer.get_json()['id']}").status_code == 404
    assert bob.delete(f"/v1/models/{ada.model}").status_code == 403
    admin = client_of(app, new_key(database, "root", Scope.ADMIN))
    assert admin.delete(f"/v1/models/{ada.model}").status_code == 409  # of a training job


def test_work_before_authentication_belongs_to_the_default_owner(
    app: DocumentedApi, database: SessionFactory, settings: Settings
) -> None:
    earlier = jobs.submitted(database, settings)
    assert client_of(app, new_key(database, "local")).get(f"/v1/training-jobs/{earlier}").status_code == 200
    assert client_of(app, new_key(database, "ada")).get(f"/v1/training-jobs/{earlier}").status_code == 404
