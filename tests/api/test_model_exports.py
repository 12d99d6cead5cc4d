import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask.testing import FlaskClient

from api.routes import model_exports
from shared.broker import NullBroker
from shared.errors import JobFailure
from shared.ids import new_id
from shared.job_status import ErrorCode, JobKind
from shared.storage import Storage
from tests.api.worker_hands import WEIGHTS, WEIGHTS_FILE, WorkerWrites
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.slow_on_postgresql

GRAPHS = {"decoder.onnx": b"a decoder", "encoder.onnx": b"an encoder"}


@pytest.fixture
def model(client: FlaskClient, worker: WorkerWrites) -> str:
    """Id of a published model."""
    assert client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).status_code == 202
    return worker.publish(worker.claim(JobKind.TRAINING))


@pytest.fixture(autouse=True)
def _brief_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_exports, "WAIT_S", 0.3)


@contextmanager
def exporting(worker: WorkerWrites, broker: NullBroker) -> Iterator[None]:
    """A worker that processes export jobs during the block."""

    def make() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while broker.take(JobKind.GENERATION) is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        make_graphs(worker)

    thread = threading.Thread(target=make)
    thread.start()
    yield
    thread.join()


def make_graphs(worker: WorkerWrites) -> None:
    lease = worker.claim(JobKind.GENERATION)
    for name, data in GRAPHS.items():
        worker.file(lease, name, data, kind="output", media_type="application/octet-stream")
    worker.finish(lease, {"parts": ["decoder", "encoder"]})


def test_weights_are_the_checkpoint_file_with_metadata_to_rebuild_the_model(client: FlaskClient, model: str) -> None:
    response = client.get(f"/v1/models/{model}/export")

    length = int.from_bytes(response.data[:8], "little")
    about = json.loads(json.loads(response.data[8 : 8 + length])["__metadata__"]["mimeo"])
    assert response.status_code == 200
    assert response.data == WEIGHTS_FILE
    assert response.headers["ETag"] == f'"{WEIGHTS}"'
    assert response.headers["Content-Disposition"] == f"attachment; filename=vae-digits-{model}.safetensors"
    assert response.headers["Content-Length"] == str(len(response.data))
    assert about == {"model_type": "vae", "config": {"hyperparameters": {}, "image_shape": [1, 28, 28]}}


def test_range_of_the_weights_is_sent_for_a_resumed_download(client: FlaskClient, model: str) -> None:
    url = f"/v1/models/{model}/export"
    part = client.get(url, headers={"Range": "bytes=8-", "If-Range": f'"{WEIGHTS}"'})
    beyond = client.get(url, headers={"Range": f"bytes={len(WEIGHTS_FILE)}-"})

    assert (part.status_code, part.data) == (206, WEIGHTS_FILE[8:])
    assert part.headers["Content-Range"] == f"bytes 8-{len(WEIGHTS_FILE) - 1}/{len(WEIGHTS_FILE)}"
    assert beyond.status_code == 416


def test_weights_are_identical_each_time_and_a_matching_etag_is_304(client: FlaskClient, model: str) -> None:
    url = f"/v1/models/{model}/export?format=safetensors"
    first, again = client.get(url), client.get(url)
    headers = {"If-None-Match": first.headers["ETag"]}

    assert first.data == again.data
    assert client.get(url, headers=headers).status_code == 304
    assert client.head(url).headers["Content-Length"] == str(len(first.data))


def test_missing_or_changed_weights_are_not_served(client: FlaskClient, model: str, storage: Storage) -> None:
    key = f"jobs/{client.get(f'/v1/models/{model}').get_json()['training_job']}/checkpoints/00000235/model.safetensors"
    data = storage.read_bytes(key)
    storage.put_bytes(data[:-1] + b"!", key)
    damaged = client.get(f"/v1/models/{model}/export")
    storage.delete_file(key)
    gone = [client.get(f"/v1/models/{model}/export?format={name}") for name in ("safetensors", "onnx")]

    assert (damaged.status_code, damaged.get_json()["code"]) == (500, "damaged")
    assert "have changed since they were written" in damaged.get_json()["detail"]
    for response in gone:
        assert (response.status_code, response.get_json()["code"]) == (404, "not_found")
        assert f"The weights of {model} are no longer in storage" in response.get_json()["detail"]
    assert client.get("/v1/generation-jobs").get_json()["data"] == []


def test_graph_is_made_once_and_then_served_from_storage(
    client: FlaskClient, model: str, worker: WorkerWrites, broker: NullBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_exports, "WAIT_S", 30.0)
    with exporting(worker, broker):
        made = client.get(f"/v1/models/{model}/export?format=onnx")
    kept = client.get(f"/v1/models/{model}/export?format=onnx&part=decoder")
    other = client.get(f"/v1/models/{model}/export?format=onnx&part=encoder")

    assert (made.status_code, made.data) == (200, b"a decoder")
    assert made.headers["ETag"] == f'"{hashlib.sha256(b"a decoder").hexdigest()}"'
    assert made.headers["Content-Disposition"] == f"attachment; filename=vae-digits-decoder-{model}.onnx"
    assert kept.data == made.data
    assert other.data == b"an encoder"
    (job,) = client.get("/v1/generation-jobs").get_json()["data"]
    assert (job["format"], job["model"], job["sampling"]) == ("onnx", model, {})


def test_unfinished_graph_is_503_with_retry_after_and_one_job(
    client: FlaskClient, model: str, worker: WorkerWrites
) -> None:
    answers = [client.get(f"/v1/models/{model}/export?format=onnx") for _ in range(2)]
    make_graphs(worker)
    at_last = client.get(f"/v1/models/{model}/export?format=onnx")

    for response in answers:
        assert (response.status_code, response.get_json()["code"]) == (503, "export_pending")
        assert int(response.headers["Retry-After"]) > 0
        assert response.mimetype == "application/problem+json"
    assert (at_last.status_code, at_last.data) == (200, b"a decoder")


def test_unfinished_graph_is_202_with_its_job_for_a_client_that_prefers_no_wait(
    client: FlaskClient, model: str, worker: WorkerWrites, broker: NullBroker
) -> None:
    url = f"/v1/models/{model}/export?format=onnx"
    asked = [client.get(url, headers={"Prefer": value}) for value in ("respond-async", "wait=0, Respond-Async")]
    notification = broker.take(JobKind.GENERATION)
    make_graphs(worker)
    made = client.get(url, headers={"Prefer": "respond-async"})

    for response in asked:
        job = response.get_json()
        assert (response.status_code, job["format"], job["status"]) == (202, "onnx", "queued")
        assert response.headers["Location"].endswith(f"/v1/generation-jobs/{job['id']}")
        assert response.headers["Preference-Applied"] == "respond-async"
        assert int(response.headers["Retry-After"]) > 0
        assert notification is not None
        assert notification.job_id == job["id"]
    assert (made.status_code, made.data, "Preference-Applied" in made.headers) == (200, b"a decoder", False)


def test_client_that_prefers_202_receives_a_graph_that_is_finished_within_its_wait(
    client: FlaskClient, model: str, worker: WorkerWrites, broker: NullBroker
) -> None:
    with exporting(worker, broker):
        made = client.get(f"/v1/models/{model}/export?format=onnx", headers={"Prefer": "respond-async, wait=30"})
    assert (made.status_code, made.data) == (200, b"a decoder")


def test_concurrent_requests_for_a_graph_make_one_job(client: FlaskClient, model: str) -> None:
    barrier = threading.Barrier(4)
    statuses = []

    def request_graph() -> None:
        barrier.wait()
        statuses.append(client.application.test_client().get(f"/v1/models/{model}/export?format=onnx").status_code)

    threads = [threading.Thread(target=request_graph) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [503] * 4
    assert len(client.get("/v1/generation-jobs").get_json()["data"]) == 1


def test_failed_graph_shows_its_reason_until_its_job_is_deleted(
    client: FlaskClient, model: str, worker: WorkerWrites
) -> None:
    url = f"/v1/models/{model}/export?format=onnx"
    client.get(url)
    lease = worker.claim(JobKind.GENERATION)
    worker.fail(lease, JobFailure(ErrorCode.INVALID_DATA, "The graph differs.", "Take the weights."))
    failed = client.get(url)
    client.delete(f"/v1/generation-jobs/{lease.job_id}")

    assert (failed.status_code, failed.get_json()["code"]) == (500, "export_failed")
    assert "The graph differs. Take the weights." in failed.get_json()["detail"]
    assert f"delete {lease.job_id}" in failed.get_json()["detail"]
    assert client.get(url).get_json()["code"] == "export_pending"


def test_exports_are_deleted_with_the_job_that_trained_the_model(
    client: FlaskClient, model: str, worker: WorkerWrites
) -> None:
    job = client.get(f"/v1/models/{model}").get_json()["training_job"]
    client.get(f"/v1/models/{model}/export?format=onnx")
    while_making = client.delete(f"/v1/training-jobs/{job}")
    make_graphs(worker)
    afterwards = client.delete(f"/v1/training-jobs/{job}")

    assert (while_making.status_code, afterwards.status_code) == (409, 204)
    assert client.get("/v1/generation-jobs").get_json()["data"] == []
    assert client.get(f"/v1/models/{model}/export?format=onnx").status_code == 404


@pytest.mark.parametrize(
    ("query", "pointer", "reason"),
    [
        ("format=onxx", "?format", "there are safetensors and onnx"),
        ("format=onnx&part=decode", "?part", "decoder"),
        ("part=decoder", "?part", "Only format=onnx has parts"),
        ("formt=onnx", "?formt", "format"),
    ],
)
def test_unknown_part_or_format_is_422_with_a_pointer(
    client: FlaskClient, model: str, query: str, pointer: str, reason: str
) -> None:
    response = client.get(f"/v1/models/{model}/export?{query}")

    assert response.status_code == 422
    (error,) = response.get_json()["errors"]
    assert error["pointer"] == pointer
    assert reason in error["detail"]


def test_unknown_model_is_404(client: FlaskClient) -> None:
    for model_id in (new_id("mdl"), "mdl_1"):
        assert client.get(f"/v1/models/{model_id}/export").status_code == 404
