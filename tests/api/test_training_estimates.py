"""A training request with `dry_run` is answered with its costs and stores nothing."""

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from shared import model_types
from shared.broker import NullBroker
from shared.datasets import REGISTRY
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from tests.api.tenants import client_of, new_key, upload
from tests.api.worker_hands import WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql

TRAINING = "/v1/training-jobs"
VAE = {"model_type": "vae", "dataset": "digits"}


def estimate(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    response = client.post(TRAINING, json={**VAE, "dry_run": True, **fields})
    answer: dict[str, Any] = response.get_json()
    assert response.status_code == 200, answer
    return answer


def measure(client: FlaskClient, worker: WorkerWrites, speed: float, device: str = "cpu", **fields: Any) -> str:
    """A running job with a measured speed."""
    job = str(client.post(TRAINING, json={**VAE, **fields}).get_json()["id"])
    lease = worker.claim(JobKind.TRAINING)
    worker.report(lease, progress={"step": 5, "examples_per_s": speed}, device=device)
    return job


@pytest.mark.parametrize("name", model_types.REGISTRY)
def test_estimate_states_settings_steps_and_memory_of_each_model_type(client: FlaskClient, name: str) -> None:
    kind = model_types.get(name)
    hyperparameters = kind.resolve("fast", {"epochs": 3})
    shape = REGISTRY[kind.fallback_dataset].shape

    answer = estimate(client, model_type=name, dataset=kind.fallback_dataset, hyperparameters={"epochs": 3})

    steps = kind.training_steps(hyperparameters, shape)
    assert steps is not None
    assert answer["object"] == "training_estimate"
    assert answer["hyperparameters"] == hyperparameters.model_dump(mode="json")
    assert (answer["steps"], answer["examples_per_step"]) == (3 * steps.per_epoch, steps.examples)
    assert answer["memory_bytes"] == kind.training_bytes(hyperparameters, shape)
    assert (answer["dataset"], answer["preset"], answer["evaluation"]) == (kind.fallback_dataset, "fast", "auto")


def test_nothing_is_stored_and_no_worker_is_notified(client: FlaskClient, broker: NullBroker) -> None:
    headers = {"Idempotency-Key": "one"}
    body = {**VAE, "dry_run": True}
    assert client.post(TRAINING, json=body, headers=headers).status_code == 200
    assert client.get(TRAINING).get_json()["data"] == []
    assert broker.sent == []
    assert client.post(TRAINING, json=VAE, headers=headers).status_code == 202


def test_time_is_null_with_a_sentence_until_a_worker_has_measured(client: FlaskClient) -> None:
    answer = estimate(client)

    assert answer["seconds"] is None
    assert "No worker has measured the speed of vae models" in answer["basis"]


def test_time_follows_the_measured_speed_of_equal_work(client: FlaskClient, worker: WorkerWrites) -> None:
    job = measure(client, worker, 20_000.0)

    answer, twice = estimate(client), estimate(client, hyperparameters={"epochs": 36})

    examples = answer["steps"] * answer["examples_per_step"]
    assert answer["seconds"] == pytest.approx(examples / 20_000, abs=0.1)
    assert twice["seconds"] == pytest.approx(2 * answer["seconds"], abs=0.2)
    assert answer["basis"] == f"{job} trained 20,000 examples a second on this machine."


def test_time_is_converted_by_work_from_the_most_similar_job(client: FlaskClient, worker: WorkerWrites) -> None:
    small = measure(client, worker, 90_000.0, hyperparameters={"hidden": [32]})
    large = measure(client, worker, 1_000.0, hyperparameters={"hidden": [2048, 2048]})

    near_small = estimate(client, hyperparameters={"hidden": [64]})
    near_large = estimate(client, hyperparameters={"hidden": [1900, 1900]})

    assert near_small["basis"].startswith(small)
    assert near_large["basis"].startswith(large)
    examples = near_small["steps"] * near_small["examples_per_step"]
    assert examples / 90_000 < near_small["seconds"] < 3 * examples / 90_000
    assert near_large["seconds"] < examples / 1_000
    assert "times the work" in near_large["basis"]


def test_speeds_of_other_model_types_and_devices_are_left_out(client: FlaskClient, worker: WorkerWrites) -> None:
    measure(client, worker, 5.0, model_type="gan")
    measure(client, worker, 1_000_000.0, device="cuda")
    worker.heartbeat(JobKind.TRAINING)

    answer = estimate(client)

    assert answer["seconds"] is None
    assert [warning["code"] for warning in answer["warnings"]] == []


def test_speeds_of_other_owners_count_without_their_names_and_datasets(
    settings: Settings, database: SessionFactory, broker: NullBroker, worker: WorkerWrites
) -> None:
    app = create_app(settings.model_copy(update={"auth": "required"}), broker=broker)
    ada, bob = (client_of(app, new_key(database, owner)) for owner in ("ada", "bob"))
    ada.post("/v1/datasets", **upload("notes"))
    measure(ada, worker, 1_000.0, model_type="lstm", dataset="notes")
    measure(ada, worker, 20_000.0)

    answers = [estimate(bob), estimate(bob, model_type="lstm", dataset="shakespeare")]

    assert answers[0]["basis"] == "A job of another owner trained 20,000 examples a second on this machine."
    assert answers[0]["seconds"] is not None
    assert answers[1]["seconds"] is None


def test_place_in_the_queue_follows_the_priority(client: FlaskClient) -> None:
    for priority in ("high", "normal", "low"):
        client.post(TRAINING, json={**VAE, "priority": priority})

    places = {priority: estimate(client, priority=priority)["queue_position"] for priority in ("high", "normal", "low")}

    assert places == {"high": 2, "normal": 3, "low": 4}


def test_obstacles_of_the_start_are_warnings(client: FlaskClient) -> None:
    codes = [warning["code"] for warning in estimate(client, dataset="fashion-mnist")["warnings"]]

    assert codes[0] == "no_worker"
    assert codes[1:] in (["download"], ["dataset_missing"], [])


def test_errors_are_those_of_a_submission(client: FlaskClient) -> None:
    for wrong in ({"hyperparameters": {"epochs": 0}}, {"dataset": "digit"}, {"preset": "slow"}, {"dry_run": "yes"}):
        answers = [client.post(TRAINING, json={**VAE, **extra, **wrong}) for extra in ({"dry_run": True}, {})]
        assert [answer.status_code for answer in answers] == [422, 422]
        first, second = (answer.get_json()["errors"] for answer in answers)
        assert first == second


def test_size_of_an_uploaded_text_is_used(client: FlaskClient) -> None:
    text = ("All the world's a stage, and all the men and women merely players.\n" * 300).encode()
    form = {"name": "mine", "kind": "text", "file": (BytesIO(text), "mine.txt")}
    assert client.post("/v1/datasets", data=form).status_code == 201

    answer = estimate(client, model_type="lstm", dataset="mine", hyperparameters={"examples_per_epoch": None})

    characters = len(text) - len(text) // 10
    assert answer["steps"] == answer["hyperparameters"]["epochs"] * (characters // answer["examples_per_step"])
