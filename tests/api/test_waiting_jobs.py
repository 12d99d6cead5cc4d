"""Changes and cancellations of jobs that wait, and the classes of a generation by name."""

import pytest
from flask.testing import FlaskClient

from shared import model_types
from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind, JobStatus
from shared.services import transitions
from shared.settings import Settings
from tests import jobs
from tests.api.worker_hands import WorkerWrites
from worker.reconciler import Reconciler

pytestmark = pytest.mark.slow_on_postgresql

TRAINING = "/v1/training-jobs"
VAE = {"model_type": "vae", "dataset": "digits"}


def submitted(client: FlaskClient, **fields: object) -> str:
    """Id of a new training job."""
    return str(client.post(TRAINING, json={**VAE, **fields}).get_json()["id"])


def test_raised_job_is_claimed_first_without_a_further_notification(
    client: FlaskClient, worker: WorkerWrites, broker: NullBroker, database: SessionFactory, settings: Settings
) -> None:
    first, second, third = (submitted(client, priority=priority) for priority in ("normal", "normal", "low"))
    notified = broker.depth(JobKind.TRAINING)
    before = client.get(f"{TRAINING}/{third}")
    response = client.patch(f"{TRAINING}/{third}", json={"priority": "high"})
    positions = [client.get(f"{TRAINING}/{job}").get_json()["queue_position"] for job in (third, first, second)]
    Reconciler(settings, database, broker).round()

    assert (response.status_code, response.get_json()["priority"]) == (200, "high")
    assert positions == [1, 2, 3]
    assert broker.depth(JobKind.TRAINING) == notified == 3
    assert client.get(f"{TRAINING}/{third}", headers={"If-None-Match": before.headers["ETag"]}).status_code == 200
    assert [worker.claim(JobKind.TRAINING).job_id for _ in range(3)] == [third, first, second]
    event = client.get(f"{TRAINING}/{third}/events").get_json()["data"][1]
    assert (event["type"], event["data"]) == ("changed", {"priority": {"from": "low", "to": "high"}})


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a new name"},
        {"name": None},
        {"metadata": {"sweep": "7"}},
        {"priority": "low", "name": "both", "metadata": {}},
    ],
)
def test_given_fields_change_and_others_stay(client: FlaskClient, changes: dict[str, object]) -> None:
    job = submitted(client, name="old", metadata={"a": "b"}, priority="high")
    before = client.get(f"{TRAINING}/{job}").get_json()

    after = client.patch(f"{TRAINING}/{job}", json=changes).get_json()
    repeated = client.patch(f"{TRAINING}/{job}", json=changes).get_json()

    assert {name: value for name, value in after.items() if value != before[name]}.items() <= changes.items()
    assert {name: after[name] for name in changes} == changes
    assert repeated == after
    assert len(client.get(f"{TRAINING}/{job}/events").get_json()["data"]) == 2


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"priority": "urgent"}, "/priority"),
        ({"priority": None}, "/priority"),
        ({"seed": 3}, "/seed"),
        ({"metadata": None}, "/metadata"),
        ({"name": "\x00"}, "/name"),
    ],
)
def test_invalid_change_is_422(client: FlaskClient, changes: dict[str, object], pointer: str) -> None:
    response = client.patch(f"{TRAINING}/{submitted(client)}", json=changes)

    assert response.status_code == 422
    assert [error["pointer"] for error in response.get_json()["errors"]] == [pointer]


@pytest.mark.parametrize("status", [status for status in JobStatus if status not in transitions.WAITING])
def test_job_that_does_not_wait_cannot_be_changed(
    client: FlaskClient, database: SessionFactory, status: JobStatus
) -> None:
    job = submitted(client)
    jobs.set_values(database, job, status=status)
    response = client.patch(f"{TRAINING}/{job}", json={"priority": "high"})

    assert (response.status_code, response.get_json()["code"]) == (409, "conflict")
    assert status.value in response.get_json()["detail"]
    assert client.patch(f"{TRAINING}/trn_{'0' * 26}", json={}).status_code == 404


def test_paused_job_keeps_its_new_priority(client: FlaskClient, worker: WorkerWrites) -> None:
    first, second = submitted(client), submitted(client)
    client.post(f"{TRAINING}/{second}/pause")
    client.patch(f"{TRAINING}/{second}", json={"priority": "high"})
    client.post(f"{TRAINING}/{second}/resume")

    assert [worker.claim(JobKind.TRAINING).job_id for _ in range(2)] == [second, first]


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancellations in transactions of three jobs."""
    monkeypatch.setattr(transitions, "CANCELLED_AT_ONCE", 3)


@pytest.mark.usefixtures("few_at_once")
def test_all_queued_jobs_are_cancelled_and_counted(client: FlaskClient, worker: WorkerWrites) -> None:
    ids = [submitted(client) for _ in range(8)]
    client.post(f"{TRAINING}/{ids[7]}/pause")
    running = worker.claim(JobKind.TRAINING).job_id

    response = client.post(f"{TRAINING}/cancel", json={})

    statuses = {job: client.get(f"{TRAINING}/{job}").get_json()["status"] for job in ids}
    assert (response.status_code, response.get_json()) == (200, {"object": "cancelled_jobs", "count": 6})
    assert running == ids[0]
    assert list(statuses.values()) == ["running", *["cancelled"] * 6, "paused"]
    event = client.get(f"{TRAINING}/{ids[3]}/events").get_json()["data"][-1]
    assert (event["type"], event["data"]) == ("cancelled", {"from": "queued", "to": "cancelled"})
    assert client.get(f"{TRAINING}/{ids[3]}").get_json()["finished_at"] is not None
    assert client.post(f"{TRAINING}/cancel", json={"status": "paused"}).get_json()["count"] == 1
    assert client.post(f"{TRAINING}/cancel", json={"status": "running"}).get_json()["count"] == 1
    assert client.get(f"{TRAINING}/{running}").get_json()["status"] == "cancelling"
    assert client.post(f"{TRAINING}/cancel", json={}).get_json()["count"] == 0


def test_cancellation_is_limited_to_a_kind_and_a_model_type(client: FlaskClient, worker: WorkerWrites) -> None:
    submitted(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))
    generation = client.post("/v1/generation-jobs", json={"model": model}).get_json()["id"]
    vae, gan = submitted(client), submitted(client, model_type="gan")

    assert client.post(f"{TRAINING}/cancel", json={"model_type": "gan"}).get_json()["count"] == 1
    assert client.get(f"{TRAINING}/{gan}").get_json()["status"] == "cancelled"
    assert client.get(f"{TRAINING}/{vae}").get_json()["status"] == "queued"
    assert client.get(f"/v1/generation-jobs/{generation}").get_json()["status"] == "queued"
    assert client.patch(f"/v1/generation-jobs/{generation}", json={"priority": "high"}).status_code == 200
    assert client.post("/v1/generation-jobs/cancel", json={}).get_json()["count"] == 1
    assert client.get(f"/v1/generation-jobs/{generation}").get_json()["status"] == "cancelled"


@pytest.mark.parametrize("body", [{"status": "succeeded"}, {"state": "queued"}, {"model_type": "vea"}, []])
def test_invalid_cancellation_cancels_nothing(client: FlaskClient, body: object) -> None:
    job = submitted(client)

    assert client.post(f"{TRAINING}/cancel", json=body).status_code == 422
    assert client.post(f"{TRAINING}/cancel").status_code == 415
    assert client.get(f"{TRAINING}/{job}").get_json()["status"] == "queued"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE", "PUT", "OPTIONS"])
def test_other_methods_of_cancel_are_not_allowed(client: FlaskClient, method: str) -> None:
    for kind in ("training", "generation"):
        response = client.open(f"/v1/{kind}-jobs/cancel", method=method, json={})
        assert response.headers["Allow"] == "OPTIONS, POST"
        assert response.status_code == (200 if method == "OPTIONS" else 405)


@pytest.fixture
def acgan(client: FlaskClient, worker: WorkerWrites) -> str:
    """Id of a published ACGAN model of Fashion-MNIST."""
    client.post(TRAINING, json={"model_type": "acgan", "dataset": "fashion-mnist"})
    names = ["T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag / ankle boot"]
    return worker.publish(worker.claim(JobKind.TRAINING), config={"class_names": names})


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (["sneaker"], [7]),
        (["SNEAKER", 0, "t-shirt"], [7, 0, 0]),
        (["bag", "ankle boot", "bag / ankle boot"], [8, 8, 8]),
        ([3], [3]),
        ("all", "all"),
    ],
)
def test_classes_can_be_named(client: FlaskClient, acgan: str, labels: object, numbers: object) -> None:
    response = client.post("/v1/generation-jobs", json={"model": acgan, "sampling": {"labels": labels}})

    assert response.status_code == 202, response.text
    assert response.get_json()["sampling"]["labels"] == numbers


def test_unknown_class_is_422_with_the_valid_names(client: FlaskClient, acgan: str) -> None:
    body = {"model": acgan, "sampling": {"labels": [0, "sneakers", "car"]}}
    errors = client.post("/v1/generation-jobs", json=body).get_json()["errors"]

    assert [error["pointer"] for error in errors] == ["/sampling/labels/1", "/sampling/labels/2"]
    assert 'Did you mean "sneaker"?' in errors[0]["detail"]
    assert "Valid: T-shirt, trousers" in errors[1]["detail"]
    assert set(model_types.get("acgan").sampling.json_schema()["properties"]) == {"labels", "n_per_label", "z"}
