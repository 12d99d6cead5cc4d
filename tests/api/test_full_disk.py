"""The API on a disk that is full, or has less free space than required."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.app import create_app
from migrations import runner
from shared.broker import NullBroker
from shared.settings import Settings
from tests.api.test_upload_form import BOUNDARY, a_file, form, part
from tests.chaos.disks import Disk, small_disk

JOB = {"model_type": "vae", "dataset": "digits", "hyperparameters": {"hidden": [64]}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "home", "64m") as disk:
        yield disk


def client_of(settings: Settings) -> FlaskClient:
    runner.upgrade(settings)
    for folder in ("runs", "storage"):
        (settings.home_path / folder).mkdir(exist_ok=True)
    return create_app(settings, broker=NullBroker()).test_client()


def failed_checks(client: FlaskClient) -> dict[str, str]:
    body = client.get("/readyz").get_json()
    return {check["name"]: check["detail"] for check in body["checks"] if not check["ok"]}


def test_full_disk_is_named_while_reads_go_on(disk: Disk) -> None:
    client = client_of(Settings(home=disk.folder, min_free_bytes=0))
    job_id = client.post("/v1/training-jobs", json=JOB).get_json()["id"]

    disk.fill()

    refused = client.post(f"/v1/training-jobs/{job_id}/cancel")
    assert (refused.status_code, refused.get_json()["code"]) == (507, "storage_full")
    assert "The disk is full" in refused.get_json()["detail"]
    assert client.get(f"/v1/training-jobs/{job_id}").get_json()["status"] == "queued"
    assert client.get("/readyz").status_code == 503
    assert "the disk is full" in failed_checks(client)["disk"]

    disk.free()

    assert client.get("/readyz").status_code == 200
    assert client.post(f"/v1/training-jobs/{job_id}/cancel").status_code == 200


def test_training_that_does_not_fit_names_its_field_and_a_smaller_one_is_accepted(disk: Disk) -> None:
    client = client_of(Settings(home=disk.folder, min_free_bytes=8 << 20))

    large = client.post("/v1/training-jobs", json={**JOB, "hyperparameters": {"hidden": [2048, 2048]}})

    assert large.status_code == 507
    body = large.get_json()
    assert (body["code"], body["errors"][0]["pointer"]) == ("storage_full", "/hyperparameters")
    assert "MIMEO_MIN_FREE_BYTES" in body["detail"]
    assert client.post("/v1/training-jobs", json=JOB).status_code == 202


def test_disk_below_the_least_free_space_is_not_ready_and_accepts_no_job(disk: Disk) -> None:
    client = client_of(Settings(home=disk.folder, min_free_bytes=1 << 30))

    assert client.post("/v1/training-jobs", json=JOB).status_code == 507
    assert "must be free" in failed_checks(client)["disk"]
    assert client.get("/v1/training-jobs").status_code == 200


def test_upload_that_does_not_fit_is_refused_before_its_file_is_stored(disk: Disk) -> None:
    client = client_of(Settings(home=disk.folder, min_free_bytes=8 << 20))

    def upload(size: int) -> TestResponse:
        text = b"It was the best of times. " * (size // 26)
        body = form(part("name", b"dickens"), part("kind", b"text"), a_file(text))
        return client.post("/v1/datasets", data=body, content_type=f"multipart/form-data; boundary={BOUNDARY}")

    large, small = upload(40 << 20), upload(1 << 20)

    assert (large.status_code, large.get_json()["code"]) == (507, "storage_full")
    assert large.get_json()["errors"][0]["pointer"] == "/file"
    assert small.status_code == 201
