from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from api import serializers
from api.app import create_app
from api.runtime import EXTENSION
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.errors import JobFailure
from shared.job_status import ErrorCode, JobKind, Priority
from shared.services import notifications
from shared.settings import Settings
from tests import jobs
from tests.api.worker_hands import WorkerWrites

REQUEST = {"model_type": "vae", "dataset": "digits", "seed": 7}


def submit(client: FlaskClient, **fields: object) -> dict[str, Any]:
    response = client.post("/v1/training-jobs", json={**REQUEST, **fields})
    assert response.status_code == 202, response.text
    return dict(response.get_json())


def test_accepted_job_is_queued_with_resolved_values_and_one_notification(
    client: FlaskClient, broker: NullBroker
) -> None:
    response = client.post("/v1/training-jobs", json={**REQUEST, "hyperparameters": {"epochs": 3}, "priority": "high"})

    job = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/training-jobs/{job['id']}"
    assert (job["object"], job["status"], job["is_terminal"]) == ("training_job", "queued", False)
    assert job["queue_position"] == 1
    assert (job["hyperparameters"]["epochs"], job["hyperparameters"]["latent_size"]) == (3, 2)
    assert job["progress"] == {
        "epoch": 0,
        "epochs": 3,
        "step": 0,
        "steps": None,
        "fraction": 0.0,
        "eta_s": None,
        "examples_per_s": None,
    }
    assert job["created_at"].endswith("Z")
    assert [(notification.kind, notification.job_id, notification.priority) for notification in broker.sent] == [
        ("training", job["id"], Priority.HIGH)
    ]


def test_evaluation_is_shown_with_the_job_and_an_unknown_one_is_refused(client: FlaskClient) -> None:
    assert submit(client)["evaluation"] == "auto"
    assert submit(client, evaluation="full")["evaluation"] == "full"
    refused = client.post("/v1/training-jobs", json={**REQUEST, "evaluation": "most"})
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.get_json()["errors"]] == ["/evaluation"]


def test_submit_without_redis_is_accepted_and_recorded_as_not_notified(
    client: FlaskClient, broker: NullBroker, database: SessionFactory
) -> None:
    broker.is_up = False

    job = submit(client)

    assert client.get(f"/v1/training-jobs/{job['id']}").get_json()["status"] == "queued"
    with transaction(database) as session:
        due = notifications.due_for_notification(session, JobKind.TRAINING, stale_s=3600, limit=10)
    assert due == [(job["id"], Priority.NORMAL)]


def test_queue_positions_follow_priority_then_arrival(client: FlaskClient) -> None:
    first, second, urgent = submit(client), submit(client), submit(client, priority="high")

    positions = {job["id"]: job["queue_position"] for job in client.get("/v1/training-jobs").get_json()["data"]}

    assert positions == {urgent["id"]: 1, first["id"]: 2, second["id"]: 3}


def test_job_in_its_back_off_shows_its_later_queue_position(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites
) -> None:
    first, second = submit(client), submit(client)
    worker.fail(worker.claim(JobKind.TRAINING), JobFailure(ErrorCode.INTERNAL, "Something broke."))
    jobs.set_values(database, first["id"], not_before=datetime.now(UTC) + timedelta(hours=1))

    positions = {job["id"]: job["queue_position"] for job in client.get("/v1/training-jobs").get_json()["data"]}

    assert positions == {first["id"]: 1, second["id"]: 1}
    for job in (first, second):
        assert client.get(f"/v1/training-jobs/{job['id']}").get_json()["queue_position"] == 1


def test_misspelt_hyperparameter_is_refused_with_the_closest_name(client: FlaskClient, broker: NullBroker) -> None:
    response = client.post("/v1/training-jobs", json={**REQUEST, "hyperparameters": {"epocs": 3}})

    problem = response.get_json()
    assert response.status_code == 422
    assert problem["errors"][0]["pointer"] == "/hyperparameters/epocs"
    assert 'Did you mean "epochs"?' in problem["detail"]
    assert broker.sent == []


def test_job_that_needs_more_memory_than_a_worker_has_is_refused_with_the_estimate(
    settings: Settings, database: SessionFactory, broker: NullBroker
) -> None:
    app = create_app(settings.model_copy(update={"worker_memory_bytes": 1 << 30}), broker=broker)
    hyperparameters = {"hidden": [8192] * 8, "batch_size": 16_384}

    response = app.test_client().post("/v1/training-jobs", json={**REQUEST, "hyperparameters": hyperparameters})

    app.extensions[EXTENSION].close()
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["code"] == "too_much_memory"
    assert "a worker has 1.00 GiB" in response.get_json()["detail"]


def test_running_job_shows_progress_metrics_and_its_expected_end(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = submit(client)["id"]
    lease = worker.claim(JobKind.TRAINING)
    progress = {
        "epoch": 3,
        "epochs": 10,
        "step": 705,
        "steps": 2350,
        "fraction": 0.3,
        "eta_s": 42.0,
        "examples_per_s": 22000.0,
    }
    worker.report(lease, progress=progress, metrics={"loss": 28.4}, device="cpu")

    job = client.get(f"/v1/training-jobs/{job_id}").get_json()

    assert (job["status"], job["attempt"], job["queue_position"]) == ("running", 1, None)
    assert job["progress"] == progress
    assert job["metrics"] == {"loss": 28.4}
    assert job["device"] == "cpu"
    assert job["estimated_finish_at"] > job["started_at"]


def test_unchanged_job_is_304_without_a_body(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = submit(client)["id"]
    first = client.get(f"/v1/training-jobs/{job_id}")

    again = client.get(f"/v1/training-jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]

    worker.claim(JobKind.TRAINING)
    changed = client.get(f"/v1/training-jobs/{job_id}", headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    assert changed.get_json()["status"] == "running"


def test_etag_changes_when_only_the_queue_position_does(client: FlaskClient, worker: WorkerWrites) -> None:
    submit(client)
    waiting = submit(client)["id"]
    second_in_line = client.get(f"/v1/training-jobs/{waiting}")
    worker.claim(JobKind.TRAINING)

    response = client.get(f"/v1/training-jobs/{waiting}", headers={"If-None-Match": second_in_line.headers["ETag"]})

    assert response.status_code == 200
    assert response.get_json()["queue_position"] == 1


def test_job_beyond_the_counted_positions_is_marked_and_has_its_own_etag(
    client: FlaskClient, worker: WorkerWrites, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serializers, "COUNTED_POSITIONS", 2)
    ids = [submit(client)["id"] for _ in range(3)]
    waiting = f"/v1/training-jobs/{ids[2]}"

    far = client.get(waiting)
    listed = {job["id"]: job for job in client.get("/v1/training-jobs").get_json()["data"]}
    worker.claim(JobKind.TRAINING)
    near = client.get(waiting, headers={"If-None-Match": far.headers["ETag"]})

    assert (far.get_json()["queue_position"], far.get_json()["queue_position_is_exact"]) == (2, False)
    assert listed[ids[2]]["queue_position_is_exact"] is False
    assert listed[ids[1]]["queue_position_is_exact"] is True
    assert near.status_code == 200
    assert (near.get_json()["queue_position"], near.get_json()["queue_position_is_exact"]) == (2, True)


def test_succeeded_job_shows_its_model_and_duration(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites
) -> None:
    job_id = submit(client)["id"]
    model_id = worker.publish(worker.claim(JobKind.TRAINING))
    started_at = datetime(2026, 11, 28, 12, tzinfo=UTC)
    jobs.set_values(database, job_id, started_at=started_at, finished_at=started_at + timedelta(seconds=90))

    job = client.get(f"/v1/training-jobs/{job_id}").get_json()

    assert (job["status"], job["is_terminal"], job["model"]) == ("succeeded", True, model_id)
    assert job["progress"]["fraction"] == 1.0
    assert job["duration_s"] == 90.0


def test_failed_job_shows_the_reason_and_a_hint(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = submit(client)["id"]
    worker.fail(
        worker.claim(JobKind.TRAINING), JobFailure(ErrorCode.DIVERGED, "The loss is NaN.", "Lower the learning rate.")
    )

    job = client.get(f"/v1/training-jobs/{job_id}").get_json()

    assert job["status"] == "failed"
    assert job["error"] == {"code": "diverged", "message": "The loss is NaN.", "hint": "Lower the learning rate."}


def test_continued_job_shows_the_source_of_its_weights(client: FlaskClient, worker: WorkerWrites) -> None:
    submit(client)
    model_id = worker.publish(worker.claim(JobKind.TRAINING))

    assert submit(client, init_from=model_id)["init_from"] == model_id


def test_cancel_ends_a_queued_job_at_once_and_marks_a_running_one(client: FlaskClient, worker: WorkerWrites) -> None:
    running, queued = submit(client)["id"], submit(client)["id"]
    worker.claim(JobKind.TRAINING)

    at_once = client.post(f"/v1/training-jobs/{queued}/cancel")
    soon = client.post(f"/v1/training-jobs/{running}/cancel")

    assert (at_once.status_code, at_once.get_json()["status"]) == (200, "cancelled")
    assert (soon.status_code, soon.get_json()["status"]) == (202, "cancelling")
    assert client.post(f"/v1/training-jobs/{running}/cancel").status_code == 202


def test_cancel_of_a_job_that_has_ended_is_a_conflict(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = submit(client)["id"]
    worker.publish(worker.claim(JobKind.TRAINING))

    response = client.post(f"/v1/training-jobs/{job_id}/cancel")

    assert response.status_code == 409
    assert "succeeded" in response.get_json()["detail"]


def test_list_is_newest_first_and_its_links_visit_each_page_once(client: FlaskClient) -> None:
    submitted = {submit(client)["id"] for _ in range(5)}
    seen: list[str] = []
    url = "/v1/training-jobs?limit=2&status=queued"
    while url:
        response = client.get(url)
        seen += [job["id"] for job in response.get_json()["data"]]
        link = response.headers.get("Link")
        assert bool(link) == response.get_json()["has_more"]
        url = link.partition(">")[0].removeprefix("<") if link else ""

    assert seen == sorted(submitted, reverse=True)


def test_list_is_filtered_by_status_and_model_type(client: FlaskClient, worker: WorkerWrites) -> None:
    vae = submit(client)["id"]
    lstm = submit(client, model_type="lstm", dataset="python-source")["id"]
    worker.claim(JobKind.TRAINING)

    def ids(query: str) -> list[str]:
        return [job["id"] for job in client.get(f"/v1/training-jobs?{query}").get_json()["data"]]

    assert ids("status=running") == [vae]
    assert ids("model_type=lstm") == [lstm]
    assert ids("status=running&model_type=lstm") == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limt=3", "?limt"),
        ("limit=0", "?limit"),
        ("limit=101", "?limit"),
        ("limit=many", "?limit"),
        ("after=trn_1", "?after"),
        ("after=%00", "?after"),
        ("status=lost", "?status"),
        ("model_type=vea", "?model_type"),
    ],
)
def test_invalid_query_is_refused_and_named(client: FlaskClient, query: str, pointer: str) -> None:
    response = client.get(f"/v1/training-jobs?{query}")

    assert response.status_code == 422
    assert [error["pointer"] for error in response.get_json()["errors"]] == [pointer]


@pytest.mark.parametrize("job_id", ["trn_1", "gen_01m838k0749cnxvppr0c0g85z6", "trn_01m838k0749cnxvppr0c0g85z6", "%00"])
def test_unknown_job_is_404(client: FlaskClient, job_id: str) -> None:
    response = client.get(f"/v1/training-jobs/{job_id}")

    assert response.status_code == 404
    assert response.get_json()["code"] == "not_found"
