import threading
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import update

from api import end_poller
from api.app import create_app
from api.runtime import EXTENSION, Runtime
from shared.broker import CeleryBroker, NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import Checkpoint
from shared.ids import new_id
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests.api.worker_hands import WorkerWrites
from tests.servers import Valkey


@pytest.fixture
def model(client: FlaskClient, worker: WorkerWrites) -> str:
    """Id of a published model."""
    assert client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).status_code == 202
    return worker.publish(worker.claim(JobKind.TRAINING))


def test_accepted_job_shows_its_resolved_sampling(client: FlaskClient, model: str, broker: NullBroker) -> None:
    response = client.post("/v1/generation-jobs", json={"model": model, "seed": 1})

    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == job["urls"]["self"] == f"/v1/generation-jobs/{job['id']}"
    assert (job["object"], job["status"], job["model"], job["model_type"]) == ("generation_job", "queued", model, "vae")
    assert job["sampling"] == {"mode": "random", "n": 64}
    assert (job["format"], job["seed"], job["artifacts"], job["output"]) == ("png", 1, [], None)
    assert broker.sent[-1].kind == "generation"


def test_running_training_job_is_sampled_from_its_newest_checkpoint(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).get_json()["id"]
    lease = worker.claim(JobKind.TRAINING)
    early = client.post("/v1/generation-jobs", json={"model": job_id})
    worker.checkpoint(lease, step=100)
    newest = worker.checkpoint(lease, step=200)

    job = client.post("/v1/generation-jobs", json={"model": job_id}).get_json()

    assert (early.status_code, early.get_json()["errors"][0]["code"]) == (422, "no_checkpoint")
    assert (job["model"], job["checkpoint"]) == (newest, newest)


@pytest.mark.parametrize("has_redis", [False, True], ids=["null", "redis"])
def test_prefer_wait_answers_as_soon_as_the_job_has_ended(
    settings: Settings,
    database: SessionFactory,
    storage: Storage,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    has_redis: bool,
) -> None:
    """The notification ends the wait: the database is polled too rarely to end it."""
    monkeypatch.setattr(end_poller, "POLL_S", 3600.0)
    if has_redis:
        valkey: Valkey = request.getfixturevalue("valkey")
        settings = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    broker = CeleryBroker(settings) if has_redis else NullBroker()
    worker = WorkerWrites(settings, database, storage, broker)
    app = create_app(settings, broker=broker)
    client = app.test_client()
    assert client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).status_code == 202
    model = worker.publish(worker.claim(JobKind.TRAINING))

    def generate() -> None:
        while broker.depth(JobKind.GENERATION) == 0:
            time.sleep(0.001)
        lease = worker.claim(JobKind.GENERATION)
        worker.file(lease, "images.png", b"\x89PNG", kind="output")
        worker.finish(lease, {"width": 224, "height": 224, "rows": 8, "columns": 8})

    generating = threading.Thread(target=generate)
    started = time.monotonic()
    generating.start()
    response = client.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "wait=60"})
    took_s = time.monotonic() - started
    generating.join()
    app.extensions[EXTENSION].close()

    job = response.get_json()
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=60"
    assert (job["status"], job["output"]["rows"]) == ("succeeded", 8)
    assert [artifact["name"] for artifact in job["artifacts"]] == ["images.png"]
    assert took_s < 60  # the wait has not timed out


def test_prefer_wait_polls_the_database_when_redis_is_unavailable(
    client: FlaskClient, model: str, worker: WorkerWrites, broker: NullBroker
) -> None:
    broker.is_up = False

    def generate() -> None:
        time.sleep(0.2)
        worker.finish(worker.claim(JobKind.GENERATION))

    generating = threading.Thread(target=generate)
    generating.start()
    response = client.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "wait=30"})
    generating.join()

    assert (response.status_code, response.get_json()["status"]) == (200, "succeeded")


def test_unfinished_job_is_answered_202_with_its_location(client: FlaskClient, model: str) -> None:
    started = time.monotonic()
    response = client.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "respond-async, wait=1"})

    assert time.monotonic() - started >= 0.9
    assert (response.status_code, response.get_json()["status"]) == (202, "queued")
    assert response.headers["Location"].startswith("/v1/generation-jobs/gen_")


@pytest.mark.parametrize("prefer", ["wait", "wait=soon", "wait=-1", "wait=0", "waiting=9", "handling=strict"])
def test_unknown_preference_is_ignored(client: FlaskClient, model: str, prefer: str) -> None:
    response = client.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": prefer})

    assert response.status_code == 202
    assert "Preference-Applied" not in response.headers


def test_wait_beyond_the_limit_is_answered_at_once_without_preference_applied(
    settings: Settings, broker: NullBroker, model: str
) -> None:
    app = create_app(settings.model_copy(update={"api_waits": 1}), broker=broker)
    client = app.test_client()
    runtime: Runtime = app.extensions[EXTENSION]

    with runtime.may_wait(1) as granted:
        assert granted
        refused = client.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "wait=60"})
    granted_later = client.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "wait=1"})
    runtime.close()

    assert refused.status_code == 202
    assert "Preference-Applied" not in refused.headers
    assert granted_later.headers["Preference-Applied"] == "wait=1"


def test_unknown_model_is_refused_with_a_pointer(client: FlaskClient) -> None:
    response = client.post("/v1/generation-jobs", json={"model": new_id("mdl")})

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "/model"


def test_unsupported_sampling_is_refused_with_a_pointer(client: FlaskClient, model: str) -> None:
    body = {"model": model, "sampling": {"mode": "latent", "z": [0.0, 1.0, 2.0]}}

    response = client.post("/v1/generation-jobs", json=body)

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "/sampling/z"


def test_unchanged_job_is_304_and_a_cancelled_one_is_200(client: FlaskClient, model: str) -> None:
    url = client.post("/v1/generation-jobs", json={"model": model}).headers["Location"]
    headers = {"If-None-Match": client.get(url).headers["ETag"]}

    assert client.get(url, headers=headers).status_code == 304
    assert client.post(f"{url}/cancel").get_json()["status"] == "cancelled"
    assert client.get(url, headers=headers).status_code == 200


LONG_TEXT = "é" * 100_000


def test_job_shows_the_beginning_of_its_texts_and_a_list_shows_none(
    client: FlaskClient, model: str, worker: WorkerWrites
) -> None:
    """The rows are those of an earlier version, which held the whole output."""
    urls = []
    for _ in range(20):
        urls.append(client.post("/v1/generation-jobs", json={"model": model}).headers["Location"])
        worker.finish(worker.claim(JobKind.GENERATION), {"text": LONG_TEXT, "texts": [LONG_TEXT] * 10, "prompt": "a"})

    page = client.get("/v1/generation-jobs")
    shown = client.get(urls[-1])

    assert len(page.data) < 20 * 2_000
    assert all("output" not in job for job in page.get_json()["data"])
    output = shown.get_json()["output"]
    assert output["truncated"] is True
    assert output["text"] == output["texts"][0] == LONG_TEXT[:4_000]
    assert [len(text) for text in output["texts"]] == [4_000] * 4
    assert len(shown.data) < 150_000


def test_list_leaves_out_long_sampling_parameters(client: FlaskClient, model: str) -> None:
    sampling = {"mode": "latent", "z": [[0.25, 0.5]] * 1_000}
    url = client.post("/v1/generation-jobs", json={"model": model, "sampling": sampling}).headers["Location"]

    [listed] = client.get("/v1/generation-jobs").get_json()["data"]

    assert listed["sampling"] == {"mode": "latent"}
    assert client.get(url).get_json()["sampling"] == sampling


def test_list_shows_each_job_with_its_own_artifacts(client: FlaskClient, model: str, worker: WorkerWrites) -> None:
    ids = [client.post("/v1/generation-jobs", json={"model": model}).get_json()["id"] for _ in range(2)]
    for name in ("first.png", "second.png"):
        lease = worker.claim(JobKind.GENERATION)
        worker.file(lease, name, name.encode(), kind="output")
        worker.finish(lease)

    listed = client.get("/v1/generation-jobs").get_json()["data"]

    assert [job["id"] for job in listed] == sorted(ids, reverse=True)
    assert sorted(artifact["name"] for job in listed for artifact in job["artifacts"]) == ["first.png", "second.png"]


def test_labels_without_a_training_image_are_a_warning(
    client: FlaskClient, worker: WorkerWrites, database: SessionFactory
) -> None:
    client.post("/v1/training-jobs", json={"model_type": "acgan", "dataset": "digits"})
    lease = worker.claim(JobKind.TRAINING)
    trained = worker.publish(lease)
    names = [str(digit) for digit in range(10)]
    with transaction(database) as session:
        session.execute(update(Checkpoint).values(config={"class_names": names, "absent_classes": [3, 9]}))

    def warnings(labels: Any) -> list[str]:
        body = {"model": trained, "sampling": {"labels": labels}}
        response = client.post("/v1/generation-jobs", json=body)
        assert response.status_code == 202, response.get_json()
        return [warning["message"] for warning in response.get_json()["warnings"]]

    assert warnings([0, 1]) == []
    assert warnings([1, 9]) == ["The model has seen no image of the labels 9 (9)."]
    assert warnings("all") == ["The model has seen no image of the labels 3 (3), 9 (9)."]
