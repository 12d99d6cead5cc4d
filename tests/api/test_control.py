"""The user's actions on jobs in every status, on both databases."""

import pytest
from flask.testing import FlaskClient

from shared.broker import NullBroker
from shared.db.session import SessionFactory
from shared.errors import JobFailure
from shared.job_status import ErrorCode, JobKind
from shared.job_status import JobStatus as S
from tests import jobs, transition_table
from tests.api.worker_hands import WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql

VAE = {"model_type": "vae", "dataset": "digits", "seed": 7}
TRAINING = transition_table.documented()
GENERATION = {action: TRAINING[action] for action in ("cancel", "delete")}


def submit(client: FlaskClient, **fields: object) -> str:
    response = client.post("/v1/training-jobs", json={**VAE, **fields})
    assert response.status_code == 202, response.text
    return str(response.get_json()["id"])


def generation(client: FlaskClient, worker: WorkerWrites) -> str:
    submit(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))
    return str(client.post("/v1/generation-jobs", json={"model": model}).get_json()["id"])


def check(
    client: FlaskClient, database: SessionFactory, path: str, action: str, before: S, moves: transition_table.Moves
) -> None:
    job_id = path.rsplit("/", 1)[-1]
    jobs.set_values(database, job_id, status=before)
    history = client.get(f"{path}/events").get_json()["data"]

    response = client.delete(path) if action == "delete" else client.post(f"{path}/{action}")

    after = moves.get(before, before)
    if after is None:
        assert (response.status_code, response.data) == (204, b"")
        assert client.get(path).status_code == 404
        return
    assert client.get(path).get_json()["status"] == after
    if before not in moves:
        assert (response.status_code, response.get_json()["code"]) == (409, "conflict")
        assert before.value in response.get_json()["detail"]
    else:
        is_done = after.is_terminal or after is S.PAUSED  # otherwise a worker has to complete the action
        assert (response.status_code, response.get_json()["status"]) == (200 if is_done else 202, after)
    added = client.get(f"{path}/events").get_json()["data"][len(history) :]
    assert len(added) == (before is not after)
    assert all(event["message"] and event["at"] and event["data"]["from"] == before.value for event in added)


@pytest.mark.parametrize("action", sorted(TRAINING))
@pytest.mark.parametrize("before", list(S))
def test_each_action_on_a_training_job_is_done_or_refused_with_the_reason(
    client: FlaskClient, database: SessionFactory, action: str, before: S
) -> None:
    check(client, database, f"/v1/training-jobs/{submit(client)}", action, before, TRAINING[action])


@pytest.mark.parametrize("action", sorted(GENERATION))
@pytest.mark.parametrize("before", [status for status in S if status not in {S.PAUSED, S.PAUSING}])
def test_each_action_on_a_generation_job_is_done_or_refused_with_the_reason(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites, action: str, before: S
) -> None:
    check(client, database, f"/v1/generation-jobs/{generation(client, worker)}", action, before, GENERATION[action])


@pytest.mark.parametrize("job_id", ["trn_1", "trn_01m838k0749cnxvppr0c0g85z6", "%00"])
@pytest.mark.parametrize("action", sorted(TRAINING))
def test_actions_on_an_unknown_job_are_404(client: FlaskClient, action: str, job_id: str) -> None:
    path = f"/v1/training-jobs/{job_id}"
    response = client.delete(path) if action == "delete" else client.post(f"{path}/{action}")
    assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


# --- pause and resume -------------------------------------------------------------------------------------------


def test_resumed_job_takes_its_old_place_in_the_queue_and_is_notified(client: FlaskClient, broker: NullBroker) -> None:
    first, second = submit(client), submit(client)
    client.post(f"/v1/training-jobs/{first}/pause")
    assert client.get(f"/v1/training-jobs/{second}").get_json()["queue_position"] == 1

    resumed = client.post(f"/v1/training-jobs/{first}/resume").get_json()

    assert resumed["queue_position"] == 1
    assert client.get(f"/v1/training-jobs/{second}").get_json()["queue_position"] == 2
    assert [notification.job_id for notification in broker.sent] == [first, second, first]


def test_paused_and_cancelled_jobs_are_not_claimed(client: FlaskClient, worker: WorkerWrites) -> None:
    client.post(f"/v1/training-jobs/{submit(client)}/pause")
    client.post(f"/v1/training-jobs/{submit(client)}/cancel")
    assert worker.claim_if_any(JobKind.TRAINING) is None


def test_job_in_its_back_off_starts_at_once_after_pause_and_resume(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = submit(client)
    worker.fail(worker.claim(JobKind.TRAINING), JobFailure(ErrorCode.INTERNAL, "Something broke."))
    client.post(f"/v1/training-jobs/{job_id}/pause")
    client.post(f"/v1/training-jobs/{job_id}/resume")
    assert worker.claim(JobKind.TRAINING).attempt == 2


# --- retry ------------------------------------------------------------------------------------------------------


def test_retried_job_is_queued_with_all_attempts_and_a_new_fencing_token(
    client: FlaskClient, worker: WorkerWrites, broker: NullBroker
) -> None:
    job_id = submit(client, max_attempts=1)
    first = worker.claim(JobKind.TRAINING)
    checkpoint = worker.checkpoint(first)
    worker.fail(first, JobFailure(ErrorCode.INTERNAL, "Something broke."))
    failed = client.get(f"/v1/training-jobs/{job_id}").get_json()
    assert (failed["status"], failed["attempt"]) == ("failed", 1)

    queued = client.post(f"/v1/training-jobs/{job_id}/retry").get_json()

    assert (queued["status"], queued["attempt"], queued["error"]) == ("queued", 0, None)
    assert (queued["started_at"], queued["finished_at"], queued["duration_s"]) == (None, None, None)
    assert broker.sent[-1].job_id == job_id
    second = worker.claim(JobKind.TRAINING)
    assert (second.attempt, second.fencing_token) == (1, first.fencing_token + 1)
    kept = client.get(f"/v1/training-jobs/{job_id}/checkpoints").get_json()["data"]
    assert [row["id"] for row in kept] == [checkpoint]
    worker.publish(second)
    assert client.get(f"/v1/training-jobs/{job_id}").get_json()["status"] == "succeeded"
    types = [event["type"] for event in client.get(f"/v1/training-jobs/{job_id}/events").get_json()["data"]]
    assert types == ["queued", "running", "failed", "retried", "running", "succeeded"]


# --- delete -----------------------------------------------------------------------------------------------------


def test_delete_removes_all_rows_and_files_of_a_job(client: FlaskClient, worker: WorkerWrites) -> None:
    job_id = submit(client)
    lease = worker.claim(JobKind.TRAINING)
    worker.points(lease, "loss", [3.0, 2.0])
    worker.file(lease, "epoch-0001-grid.png", b"\x89PNG")
    [sample] = client.get(f"/v1/training-jobs/{job_id}/samples").get_json()["data"]
    model = worker.publish(lease)

    assert client.delete(f"/v1/training-jobs/{job_id}").status_code == 204

    for path in (
        f"/v1/training-jobs/{job_id}",
        f"/v1/training-jobs/{job_id}/metrics",
        f"/v1/training-jobs/{job_id}/events",
        f"/v1/models/{model}",
        f"/v1/artifacts/{sample['id']}",
        f"/v1/artifacts/{sample['id']}/content",
    ):
        assert client.get(path).status_code == 404, path
    assert client.get("/v1/models").get_json()["data"] == []
    assert client.delete(f"/v1/training-jobs/{job_id}").status_code == 404
    refused = client.post("/v1/generation-jobs", json={"model": model})
    assert (refused.status_code, refused.get_json()["errors"][0]["pointer"]) == (422, "/model")


@pytest.mark.parametrize("reference", ["generation", "training"])
def test_job_with_weights_that_an_unfinished_job_needs_is_not_deleted(
    client: FlaskClient, worker: WorkerWrites, reference: str
) -> None:
    job_id = submit(client)
    model = worker.publish(worker.claim(JobKind.TRAINING))
    if reference == "generation":
        user = client.post("/v1/generation-jobs", json={"model": model}).get_json()["id"]
    else:
        user = submit(client, init_from=model)

    refused = client.delete(f"/v1/training-jobs/{job_id}")
    assert refused.status_code == 409
    assert user in refused.get_json()["detail"]

    client.post(f"/v1/{reference}-jobs/{user}/cancel")
    assert client.delete(f"/v1/training-jobs/{job_id}").status_code == 204
    # A generation with the model remains, and still names the model.
    left = client.get(f"/v1/{reference}-jobs/{user}").get_json()
    assert model in {left["model"], left.get("init_from")}
