"""`Range` as RFC 9110 has it, for every kind of file: artifacts, weights, ONNX files and those of the documentation."""

from typing import IO

import pytest
from flask.testing import FlaskClient

from shared.job_status import JobKind
from shared.storage import Storage
from tests.api.worker_hands import WEIGHTS_FILE, WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql

DATA = bytes(range(256)) * 8
FILES = ("artifact", "text", "weights", "onnx", "documentation")


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, client: FlaskClient, worker: WorkerWrites) -> str:
    """Path of a file."""
    if request.param == "documentation":
        return "/openapi/swagger/css/swagger-ui.css"
    client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
    lease = worker.claim(JobKind.TRAINING)
    media_type = "text/plain; charset=utf-8" if request.param == "text" else "image/png"
    worker.file(lease, "epoch-0001", DATA, media_type=media_type)
    if request.param in {"artifact", "text"}:
        artifact = client.get(f"/v1/training-jobs/{lease.job_id}/samples").get_json()["data"][0]
        return str(artifact["urls"]["content"])
    model = worker.publish(lease)
    if request.param == "weights":
        return f"/v1/models/{model}/export"
    path = f"/v1/models/{model}/export?format=onnx"
    job = client.post("/v1/generation-jobs", json={"model": model}).get_json()["id"]
    client.post(f"/v1/generation-jobs/{job}/cancel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("api.routes.model_exports.WAIT_S", 0.01)
        client.get(path)
    making = worker.claim(JobKind.GENERATION)
    worker.file(making, "decoder.onnx", DATA, kind="output", media_type="application/octet-stream")
    worker.finish(making, {"parts": ["decoder"]})
    return path


@pytest.mark.parametrize(
    ("given", "first", "last"),
    [
        ("bytes=3-9", 3, 9),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("BYTES=0-0", 0, 0),
        ("bytes=2-999999", 2, None),
    ],
)
def test_one_range_of_bytes_is_206(client: FlaskClient, file: str, given: str, first: int, last: int | None) -> None:
    whole = client.get(file, buffered=True)
    size = len(whole.data)

    part = client.get(file, headers={"Range": given}, buffered=True)

    start, end = first % size, size - 1 if last is None else last
    assert (part.status_code, part.data) == (206, whole.data[start : end + 1])
    assert part.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
    assert part.headers["Content-Length"] == str(end + 1 - start)
    assert whole.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    "given", ["lines=0-1", "bytes", "bytes=", "bytes=x-y", "bytes=9-3", "bytes=0-1,4-5", "bytes=-0", "bytes=--1", "0-5"]
)
def test_other_ranges_are_ignored(client: FlaskClient, file: str, given: str) -> None:
    whole = client.get(file, buffered=True)
    response = client.get(file, headers={"Range": given}, buffered=True)

    assert (response.status_code, response.data) == (200, whole.data)
    assert "Content-Range" not in response.headers


def test_range_of_head_is_ignored(client: FlaskClient, file: str) -> None:
    size = len(client.get(file, buffered=True).data)
    response = client.head(file, headers={"Range": "bytes=3-9"}, buffered=True)

    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(size)
    assert response.headers["Accept-Ranges"] == "bytes"


def test_range_beyond_the_end_is_416_with_the_size(client: FlaskClient, file: str) -> None:
    size = len(client.get(file, buffered=True).data)
    response = client.get(file, headers={"Range": f"bytes={size}-"}, buffered=True)

    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{size}"
    assert response.mimetype == "application/problem+json"


def test_range_with_if_range_is_sent_only_of_the_same_file(client: FlaskClient, file: str) -> None:
    whole = client.get(file, buffered=True)
    same = {"Range": "bytes=0-3", "If-Range": whole.headers["ETag"]}

    part = client.get(file, headers=same, buffered=True)
    changed = client.get(file, headers=same | {"If-Range": '"another"'}, buffered=True)
    older = client.get(file, headers=same | {"If-Range": "Mon, 01 Jan 2001 00:00:00 GMT"}, buffered=True)
    beyond = client.get(file, headers={"Range": "bytes=99999999-", "If-Range": '"another"'}, buffered=True)

    assert (part.status_code, part.data) == (206, whole.data[:4])
    assert [(r.status_code, r.data) for r in (changed, older, beyond)] == [(200, whole.data)] * 3


def test_text_has_its_charset_once(client: FlaskClient, worker: WorkerWrites) -> None:
    client.post("/v1/training-jobs", json={"model_type": "lstm", "dataset": "python-source"})
    lease = worker.claim(JobKind.TRAINING)
    for name, media_type in (("a", "text/plain; charset=utf-8"), ("b", "text/plain"), ("c", "image/png")):
        worker.file(lease, name, DATA, media_type=media_type)
    urls = [
        each["urls"]["content"] for each in client.get(f"/v1/training-jobs/{lease.job_id}/samples").get_json()["data"]
    ]

    types = [client.get(url, buffered=True).headers["Content-Type"] for url in urls]
    assert types == ["text/plain; charset=utf-8", "text/plain; charset=utf-8", "image/png"]


def test_weights_are_compared_with_their_checksum_once(
    client: FlaskClient, worker: WorkerWrites, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
    model = worker.publish(worker.claim(JobKind.TRAINING))
    path = f"/v1/models/{model}/export"
    job = client.get(f"/v1/models/{model}").get_json()["training_job"]
    key = f"jobs/{job}/checkpoints/00000235/model.safetensors"
    opened: list[str] = []
    original = Storage.open

    def recorded(self: Storage, name: str) -> IO[bytes]:
        opened.append(name)
        return original(self, name)

    monkeypatch.setattr(Storage, "open", recorded)

    def files_opened(method: str, **headers: str) -> tuple[int, int]:
        opened.clear()
        response = client.open(path, method=method, headers=headers, buffered=True)
        return response.status_code, len(opened)

    etag = {"If-None-Match": f'"{client.get(f"/v1/models/{model}").get_json()["checkpoint"]["sha256"]}"'}
    assert files_opened("HEAD") == (200, 1)
    assert files_opened("GET", **etag) == (304, 1)
    assert files_opened("GET") == (200, 2)  # the second one is the comparison
    assert files_opened("GET") == (200, 1)
    assert files_opened("GET", Range="bytes=0-3") == (206, 1)
    storage.put_bytes(WEIGHTS_FILE[:-1] + b"!", key)
    assert files_opened("GET") == (500, 2)
    storage.put_bytes(WEIGHTS_FILE, key)
    assert files_opened("GET") == (200, 2)
