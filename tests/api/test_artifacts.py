import hashlib

import pytest
from flask.testing import FlaskClient

from shared.ids import new_id
from shared.job_status import JobKind
from shared.storage import Storage
from tests.api.worker_hands import WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql

DATA = bytes(range(256)) * 64


@pytest.fixture
def artifact(client: FlaskClient, worker: WorkerWrites) -> dict[str, object]:
    """A sample of a running job."""
    client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
    lease = worker.claim(JobKind.TRAINING)
    worker.file(lease, "epoch-0001-größe.png", DATA)
    found = client.get(f"/v1/training-jobs/{lease.job_id}/samples").get_json()["data"][0]
    return dict(found)


def test_artifact_shows_its_description_and_the_address_of_its_content(
    client: FlaskClient, artifact: dict[str, object]
) -> None:
    shown = client.get(f"/v1/artifacts/{artifact['id']}").get_json()

    assert shown == artifact
    assert (shown["kind"], shown["media_type"], shown["size"]) == ("sample", "image/png", len(DATA))
    assert shown["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert shown["urls"]["content"] == f"/v1/artifacts/{shown['id']}/content"


def test_content_is_the_file_with_its_type_and_with_its_sha256_as_etag(
    client: FlaskClient, artifact: dict[str, object]
) -> None:
    response = client.get(f"/v1/artifacts/{artifact['id']}/content")

    assert response.data == DATA
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["Content-Length"] == str(len(DATA))
    assert response.headers["ETag"] == f'"{artifact["sha256"]}"'
    assert response.headers["Content-Disposition"].startswith("inline; filename")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_content_with_a_matching_etag_is_not_sent_again(client: FlaskClient, artifact: dict[str, object]) -> None:
    headers = {"If-None-Match": f'"{artifact["sha256"]}"'}

    response = client.get(f"/v1/artifacts/{artifact['id']}/content", headers=headers)

    assert (response.status_code, response.data) == (304, b"")


def test_range_of_the_content_can_be_fetched(client: FlaskClient, artifact: dict[str, object]) -> None:
    url = f"/v1/artifacts/{artifact['id']}/content"

    middle = client.get(url, headers={"Range": "bytes=100-199"})
    beyond = client.get(url, headers={"Range": f"bytes={len(DATA)}-"})

    assert (middle.status_code, middle.data) == (206, DATA[100:200])
    assert middle.headers["Content-Range"] == f"bytes 100-199/{len(DATA)}"
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(DATA)}"
    assert beyond.mimetype == "application/problem+json"


def test_head_returns_only_the_headers(client: FlaskClient, artifact: dict[str, object]) -> None:
    response = client.head(f"/v1/artifacts/{artifact['id']}/content")

    assert (response.status_code, response.data) == (200, b"")
    assert response.headers["Content-Length"] == str(len(DATA))


def test_artifact_without_its_file_is_404(client: FlaskClient, storage: Storage, artifact: dict[str, object]) -> None:
    storage.delete_tree(f"jobs/{artifact['job']}/sample")

    assert client.get(f"/v1/artifacts/{artifact['id']}/content").status_code == 404


def test_unknown_artifact_is_404(client: FlaskClient) -> None:
    for artifact_id in (new_id("art"), "art_1", "..%2f..%2fetc%2fpasswd"):
        assert client.get(f"/v1/artifacts/{artifact_id}").status_code == 404
        assert client.get(f"/v1/artifacts/{artifact_id}/content").status_code == 404
