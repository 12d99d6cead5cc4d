import pytest
from flask.testing import FlaskClient

from shared.ids import new_id
from shared.job_status import JobKind
from shared.services.job_warnings import JobWarning
from tests.api.worker_hands import WEIGHTS, WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql


def train(client: FlaskClient, worker: WorkerWrites, **fields: object) -> str:
    response = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits", **fields})
    assert response.status_code == 202
    return worker.publish(worker.claim(JobKind.TRAINING))


def test_model_shows_its_origin_and_quality(client: FlaskClient, worker: WorkerWrites) -> None:
    model_id = train(client, worker, name="digits of mine")

    model = client.get(f"/v1/models/{model_id}").get_json()

    assert (model["object"], model["model_type"], model["dataset"]) == ("model", "vae", "digits")
    assert model["name"] == "digits of mine"
    assert (model["checkpoint"]["sha256"], model["checkpoint"]["step"]) == (WEIGHTS, 235)
    assert model["quality"] == {"val_loss": 28.5}
    others = ["reconstruction", "kl", "elbo", "active_units", "reconstruction_accuracy"]
    assert model["quality_omitted"] == others
    assert model["hyperparameters"]["latent_size"] == 2
    assert model["urls"]["training_job"] == f"/v1/training-jobs/{model['training_job']}"


def test_warnings_of_a_training_are_shown_with_its_job_and_its_model(client: FlaskClient, worker: WorkerWrites) -> None:
    assert client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).status_code == 202
    lease = worker.claim(JobKind.TRAINING)
    job_url = f"/v1/training-jobs/{lease.job_id}"
    assert client.get(job_url).get_json()["warnings"] == []

    worker.warn(lease, JobWarning(code="loss_exploding", message="It explodes.", step=5))
    worker.warn(
        lease, JobWarning(code="few_images", message="Few."), JobWarning(code="loss_exploding", message="Again.")
    )
    model_id = worker.publish(lease)

    expected = [
        {"code": "few_images", "message": "Few.", "hint": None, "step": None},
        {"code": "loss_exploding", "message": "Again.", "hint": None, "step": None},
    ]
    job, listed = client.get(job_url).get_json(), client.get("/v1/training-jobs").get_json()["data"]
    assert (job["status"], job["warnings"]) == ("succeeded", expected)
    assert listed[0]["warnings"] == expected
    assert client.get(f"/v1/models/{model_id}").get_json()["warnings"] == expected
    assert client.get("/v1/models").get_json()["data"][0]["warnings"] == expected


def test_models_are_listed_newest_first_by_type_and_page(client: FlaskClient, worker: WorkerWrites) -> None:
    vaes = [train(client, worker) for _ in range(3)]
    lstm = train(client, worker, model_type="lstm", dataset="python-source")

    first = client.get("/v1/models?limit=2")
    rest = client.get(first.headers["Link"].partition(">")[0].removeprefix("<"))

    listed = [model["id"] for page in (first, rest) for model in page.get_json()["data"]]
    assert listed == sorted([*vaes, lstm], reverse=True)
    assert [model["id"] for model in client.get("/v1/models?model_type=lstm").get_json()["data"]] == [lstm]


def test_unknown_model_is_404(client: FlaskClient) -> None:
    for model_id in (new_id("mdl"), "mdl_1", "nothing"):
        assert client.get(f"/v1/models/{model_id}").status_code == 404
