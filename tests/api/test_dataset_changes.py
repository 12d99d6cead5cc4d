"""Replacement, description and deletion of uploaded datasets."""

import hashlib
import io
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.db.session import SessionFactory, transaction
from shared.job_status import JobKind, JobStatus
from shared.services import pending_deletions
from shared.storage import Storage
from tests import jobs
from tests.api.test_datasets import TEXT, upload
from tests.api.worker_hands import WorkerWrites

OTHER = "Call me Ishmael. Some years ago - never mind how long precisely. " * 30


def replace(client: FlaskClient, data: bytes = OTHER.encode(), name: str = "dickens", **fields: str) -> TestResponse:
    form = {**fields, "file": (io.BytesIO(data), "text.txt")}
    return client.put(f"/v1/datasets/{name}", data=form, content_type="multipart/form-data")


def train(client: FlaskClient) -> str:
    response = client.post("/v1/training-jobs", json={"model_type": "lstm", "dataset": "dickens"})
    assert response.status_code == 202, response.get_json()
    return str(response.get_json()["id"])


def shown(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/v1/datasets/dickens").get_json()
    return found


def due(database: SessionFactory) -> list[str]:
    with transaction(database) as session:
        return pending_deletions.due(session, 10)


def stored(storage: Storage) -> list[bytes]:
    return [storage.read_bytes(f"datasets/{name}") for name in storage.list_names("datasets")]


def test_replacement_is_a_new_version_and_the_old_text_is_removed_later(
    client: FlaskClient, storage: Storage, database: SessionFactory
) -> None:
    before = upload(client, description="of two cities").get_json()
    [old] = storage.list_names("datasets")

    response = replace(client)

    after = response.get_json()
    assert response.status_code == 200
    assert (before["version"], after["version"]) == (1, 2)
    assert after["sha256"] == hashlib.sha256(OTHER.encode()).hexdigest() != before["sha256"]
    assert (after["examples"], after["vocabulary"]) == (len(OTHER), len(set(OTHER)))
    assert (after["description"], after["created_at"]) == ("of two cities", before["created_at"])
    assert after["updated_at"] >= before["updated_at"]
    assert shown(client) == after
    assert due(database) == [f"datasets/{old}".rpartition("/")[0]]


def test_refused_replacement_leaves_the_old_text(client: FlaskClient, storage: Storage) -> None:
    before = upload(client).get_json()

    for data in (b"short", b"\r\n" * 200, TEXT.encode() + b"\xff"):
        assert replace(client, data).status_code == 422

    assert shown(client) == before
    assert stored(storage) == [TEXT.encode()]


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED, JobStatus.CANCELLING])
def test_dataset_of_an_unfinished_job_is_neither_replaced_nor_deleted(
    client: FlaskClient, database: SessionFactory, storage: Storage, status: JobStatus
) -> None:
    upload(client)
    job_id = train(client)
    jobs.set_values(database, job_id, status=status)

    for response in (client.delete("/v1/datasets/dickens"), replace(client)):
        assert response.status_code == 409
        assert job_id in response.get_json()["detail"]
    assert shown(client)["used_by"] == {"jobs": 1, "models": 0}
    assert stored(storage) == [TEXT.encode()]


def test_deleted_dataset_is_gone_and_its_name_is_free(
    client: FlaskClient, database: SessionFactory, storage: Storage
) -> None:
    upload(client)
    job_id = train(client)
    client.post(f"/v1/training-jobs/{job_id}/cancel")
    [old] = storage.list_names("datasets")

    response = client.delete("/v1/datasets/dickens")

    assert (response.status_code, response.data) == (204, b"")
    assert client.get("/v1/datasets/dickens").status_code == 404
    assert client.delete("/v1/datasets/dickens").status_code == 404
    assert client.post("/v1/training-jobs", json={"model_type": "lstm", "dataset": "dickens"}).status_code == 422
    assert due(database) == [f"datasets/{old}".rpartition("/")[0]]
    assert upload(client).status_code == 201


def test_model_of_a_deleted_dataset_still_generates(client: FlaskClient, worker: WorkerWrites) -> None:
    upload(client)
    train(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))
    assert shown(client)["used_by"] == {"jobs": 0, "models": 1}

    assert client.delete("/v1/datasets/dickens").status_code == 204

    assert client.get(f"/v1/models/{model}").get_json()["dataset"] == "dickens"
    assert client.post("/v1/generation-jobs", json={"model": model}).status_code == 202


@pytest.mark.parametrize("name", ["digits", "shakespeare"])
def test_registry_datasets_cannot_be_changed(client: FlaskClient, name: str) -> None:
    answers = [
        client.delete(f"/v1/datasets/{name}"),
        replace(client, name=name),
        client.patch(f"/v1/datasets/{name}", json={"description": "mine"}),
    ]

    assert [answer.status_code for answer in answers] == [409, 409, 409]
    assert all("comes with Mimeo" in answer.get_json()["detail"] for answer in answers)


def test_unknown_dataset_cannot_be_changed(client: FlaskClient) -> None:
    upload(client)

    answers = [
        client.delete("/v1/datasets/dickons"),
        replace(client, name="dickons"),
        client.patch("/v1/datasets/dickons", json={"description": "mine"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert all('"dickens"' in answer.get_json()["detail"] for answer in answers)


def test_description_is_set_and_removed(client: FlaskClient) -> None:
    assert upload(client).get_json()["description"] is None

    described = client.patch("/v1/datasets/dickens", json={"description": "Two cities, 1859 — né"})
    removed = client.patch("/v1/datasets/dickens", json={"description": None})

    assert described.get_json()["description"] == "Two cities, 1859 — né"
    assert removed.get_json()["description"] is None
    assert removed.get_json()["version"] == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/description"),
        ({"description": 3}, "/description"),
        ({"description": "x" * 2001}, "/description"),
        ({"description": "nul\x00"}, "/description"),
        ({"description": "x", "name": "y"}, "/name"),
    ],
)
def test_invalid_description_is_refused(client: FlaskClient, body: dict[str, Any], pointer: str) -> None:
    upload(client)

    response = client.patch("/v1/datasets/dickens", json=body)

    assert response.status_code == 422
    assert [error["pointer"] for error in response.get_json()["errors"]] == [pointer]
