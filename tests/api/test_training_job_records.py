import pytest
from flask.testing import FlaskClient

from shared.ids import new_id
from shared.job_status import JobKind, JobStatus
from shared.services.job_queue import Lease
from tests.api.worker_hands import WEIGHTS, WorkerWrites


@pytest.fixture
def lease(client: FlaskClient, worker: WorkerWrites) -> Lease:
    """A running job."""
    client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
    return worker.claim(JobKind.TRAINING)


def test_metrics_are_listed_by_name_and_thinned_on_request(
    client: FlaskClient, worker: WorkerWrites, lease: Lease
) -> None:
    worker.points(lease, "loss", [100.0 / step for step in range(1, 101)])
    worker.points(lease, "val_loss", [1.0])
    url = f"/v1/training-jobs/{lease.job_id}/metrics"

    every = {series["name"]: series["points"] for series in client.get(url).get_json()["data"]}
    thinned = client.get(f"{url}?name=loss&max_points=10").get_json()["data"]

    assert {name: len(points) for name, points in every.items()} == {"loss": 100, "val_loss": 1}
    assert [series["name"] for series in thinned] == ["loss"]
    assert len(thinned[0]["points"]) <= 11
    assert thinned[0]["points"][-1]["step"] == 100
    assert client.get(f"{url}?name=nothing").get_json() == {"data": []}


def test_events_are_listed_from_the_beginning_or_after_a_given_event(client: FlaskClient, lease: Lease) -> None:
    url = f"/v1/training-jobs/{lease.job_id}/events"

    first = client.get(f"{url}?limit=1")
    rest = client.get(first.headers["Link"].partition(">")[0].removeprefix("<"))

    assert [event["type"] for event in first.get_json()["data"]] == ["queued"]
    assert [event["type"] for event in rest.get_json()["data"]] == ["running"]
    assert rest.get_json()["has_more"] is False


def test_checkpoints_are_listed_newest_first(client: FlaskClient, worker: WorkerWrites, lease: Lease) -> None:
    worker.checkpoint(lease, step=100)
    worker.checkpoint(lease, step=200)

    data = client.get(f"/v1/training-jobs/{lease.job_id}/checkpoints").get_json()["data"]

    assert [(row["step"], row["is_best"], row["sha256"]) for row in data] == [
        (200, True, WEIGHTS),
        (100, False, WEIGHTS),
    ]


def test_samples_are_the_files_of_the_training(client: FlaskClient, worker: WorkerWrites, lease: Lease) -> None:
    worker.file(lease, "epoch-0001-grid.png", b"one")
    worker.file(lease, "epoch-0002-grid.png", b"two")
    url = f"/v1/training-jobs/{lease.job_id}"

    first = client.get(f"{url}/samples?limit=1")
    rest = client.get(first.headers["Link"].partition(">")[0].removeprefix("<"))
    everything = client.get(f"{url}/artifacts").get_json()["data"]

    names = [sample["name"] for page in (first, rest) for sample in page.get_json()["data"]]
    assert sorted(names) == ["epoch-0001-grid.png", "epoch-0002-grid.png"]
    assert len(everything) == 2
    assert everything[0]["urls"]["job"] == url


def test_files_are_listed_by_kind_on_request(client: FlaskClient, worker: WorkerWrites, lease: Lease) -> None:
    worker.file(lease, "epoch-0001-grid.png", b"picture")
    worker.file(lease, "events.out.tfevents.000001-00000001", b"curves", kind="tensorboard")

    every = client.get(f"/v1/training-jobs/{lease.job_id}/artifacts").get_json()["data"]
    curves = client.get(f"/v1/training-jobs/{lease.job_id}/artifacts?kind=tensorboard").get_json()["data"]
    refused = client.get(f"/v1/training-jobs/{lease.job_id}/artifacts?kind=picture")

    assert sorted(file["kind"] for file in every) == ["sample", "tensorboard"]
    assert [file["name"] for file in curves] == ["events.out.tfevents.000001-00000001"]
    assert refused.status_code == 422


@pytest.mark.parametrize("record", ["metrics", "events", "checkpoints", "samples", "artifacts"])
def test_records_of_an_unknown_job_are_404(client: FlaskClient, record: str) -> None:
    assert client.get(f"/v1/training-jobs/{new_id('trn')}/{record}").status_code == 404


def test_metric_that_is_not_finite_is_null(client: FlaskClient, worker: WorkerWrites, lease: Lease) -> None:
    worker.report(lease, metrics={"loss": None, "kl": 1.5})

    job = client.get(f"/v1/training-jobs/{lease.job_id}").get_json()

    assert job["status"] == JobStatus.RUNNING
    assert job["metrics"] == {"loss": None, "kl": 1.5}
