"""The main job over HTTP on the real stack, for every model type: submit, poll, fetch, generate, download."""

import hashlib
import io
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
from PIL import Image

from shared import model_types
from tests.acceptance.stack import wait_for_job
from worker.export import load_weights

Json = dict[str, Any]

TRAINING: dict[str, Json] = {
    name: {"model_type": name, "dataset": kind.fallback_dataset, "hyperparameters": dict(kind.small), "seed": 7}
    for name, kind in model_types.REGISTRY.items()
}


def download(http: httpx.Client, artifact: Json) -> bytes:
    response = http.get(artifact["urls"]["content"])
    assert response.status_code == 200
    assert hashlib.sha256(response.content).hexdigest() == artifact["sha256"]
    assert len(response.content) == artifact["size"]
    return response.content


def generate(http: httpx.Client, request: Json) -> Json:
    response = http.post("/v1/generation-jobs", json=request, headers={"Prefer": "wait=60"})
    assert response.status_code in {200, 201, 202}, response.text
    job: Json = response.json()
    assert job["status"] == "succeeded", job
    return job


QUICK = "vae"  # the model type of the single pass in `make test`


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in sorted(TRAINING)],
)
def trained(request: pytest.FixtureRequest, http: httpx.Client) -> Json:
    accepted = http.post("/v1/training-jobs", json=TRAINING[request.param])
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["Location"].endswith(accepted.json()["id"])
    job = wait_for_job(http, f"/v1/training-jobs/{accepted.json()['id']}")
    assert job["status"] == "succeeded", job["error"]
    return job


def test_training_job_succeeds_and_reports_all_its_steps(trained: Json) -> None:
    progress = trained["progress"]
    assert progress["step"] == progress["steps"] > 0
    assert progress["epoch"] == progress["epochs"]
    assert progress["fraction"] == 1.0
    assert trained["hyperparameters"]["epochs"] == progress["epochs"]
    assert trained["model"].startswith("mdl_")
    assert trained["started_at"] <= trained["finished_at"]


def test_metrics_are_finite_curves_that_reach_the_last_step(http: httpx.Client, trained: Json) -> None:
    body = http.get(f"/v1/training-jobs/{trained['id']}/metrics").json()
    series = {entry["name"]: entry["points"] for entry in body["data"]}
    assert series, "a training job has metrics"
    for name, points in series.items():
        assert points, name
        assert all(np.isfinite(point["value"]) for point in points), name
        assert [p["step"] for p in points] == sorted({p["step"] for p in points}), name
    assert max(points[-1]["step"] for points in series.values()) == trained["progress"]["steps"]


def test_samples_before_training_and_of_first_and_last_epoch_can_be_fetched(http: httpx.Client, trained: Json) -> None:
    samples = http.get(f"/v1/training-jobs/{trained['id']}/samples", params={"limit": 100}).json()["data"]
    epochs = {sample["epoch"] for sample in samples}
    assert {0, 1, trained["progress"]["epochs"]} <= epochs
    for sample in samples:
        content = download(http, sample)
        if sample["media_type"] == "image/png":
            Image.open(io.BytesIO(content)).verify()
        else:
            assert content.decode("utf-8")


def test_published_model_names_its_checkpoint_and_quality(http: httpx.Client, trained: Json) -> None:
    model = http.get(f"/v1/models/{trained['model']}").json()
    assert model["training_job"] == trained["id"]
    assert model["hyperparameters"] == trained["hyperparameters"]
    assert len(model["checkpoint"]["sha256"]) == 64
    assert model["quality"]
    assert all(np.isfinite(value) for value in model["quality"].values())
    checkpoints = http.get(f"/v1/training-jobs/{trained['id']}/checkpoints").json()["data"]
    assert model["checkpoint"]["id"] in {checkpoint["id"] for checkpoint in checkpoints}


def test_same_seed_generates_the_same_bytes_and_another_seed_others(http: httpx.Client, trained: Json) -> None:
    sampling = dict(model_types.get(trained["model_type"]).small_sampling)
    request = {"model": trained["model"], "sampling": sampling, "seed": 5}
    first, again = generate(http, request), generate(http, request)
    other = generate(http, {**request, "seed": 6})
    bodies = [[download(http, artifact) for artifact in job["artifacts"]] for job in (first, again, other)]
    assert bodies[0]
    assert bodies[0] == bodies[1]
    assert bodies[0] != bodies[2]


def test_generated_output_has_the_requested_size(http: httpx.Client, trained: Json) -> None:
    kind = model_types.get(trained["model_type"])
    request = {"model": trained["model"], "sampling": dict(kind.demo_sampling), "seed": 1}
    if "png" not in kind.formats:
        text = generate(http, request)["output"]["text"]
        assert len(text) == kind.demo_sampling["length"]
        return
    job = generate(http, {**request, "format": "png"})
    output = job["output"]
    image = Image.open(io.BytesIO(download(http, job["artifacts"][0])))
    assert image.size == (output["width"], output["height"])
    assert output["rows"] * output["columns"] == output["n"]
    assert image.size[0] >= output["columns"] * 28
    array_job = generate(http, {**request, "format": "npy"})
    images = np.load(io.BytesIO(download(http, array_job["artifacts"][0])), allow_pickle=False)
    assert images.dtype == np.float32
    assert images.shape == (output["rows"] * output["columns"], 1, 28, 28)
    assert 0 <= images.min() <= images.max() <= 1


def exported(http: httpx.Client, model: str, form: str, folder: Path) -> Path:
    """The file of a model's export."""
    started = time.perf_counter()
    while (response := http.get(f"/v1/models/{model}/export", params={"format": form})).status_code == 503:
        assert response.json()["code"] == "export_pending"
        assert time.perf_counter() - started < 120
    assert response.status_code == 200, response.text
    assert f"-{model}.{form}" in response.headers["Content-Disposition"]
    path = folder / f"model.{form}"
    path.write_bytes(response.content)
    return path


def test_exported_weights_generate_the_same_as_the_service(http: httpx.Client, trained: Json, tmp_path: Path) -> None:
    kind = model_types.get(trained["model_type"])
    model = load_weights(exported(http, trained["model"], "safetensors", tmp_path))

    request = {"model": trained["model"], "sampling": dict(kind.small_sampling), "format": kind.formats[-1], "seed": 5}
    job = generate(http, request)
    rebuilt = model.generate(kind.sampling.validate_python(job["sampling"]), seed=job["seed"])

    assert rebuilt.texts == job["output"].get("texts")
    if rebuilt.images is not None:
        images = np.load(io.BytesIO(download(http, job["artifacts"][0])), allow_pickle=False)
        assert np.allclose(rebuilt.images, images, atol=1e-6)


def test_exported_weights_are_imported_and_generate_the_same(http: httpx.Client, trained: Json, tmp_path: Path) -> None:
    path = exported(http, trained["model"], "safetensors", tmp_path)
    answer = http.post("/v1/models", files={"file": (path.name, path.read_bytes())})
    assert answer.status_code == 201, answer.text
    copy = answer.json()
    sampling = dict(model_types.get(trained["model_type"]).small_sampling)

    jobs = [
        generate(http, {"model": model, "sampling": sampling, "seed": 5}) for model in (trained["model"], copy["id"])
    ]

    assert (copy["source"], copy["dataset"]) == ("imported", trained["dataset"])
    assert jobs[1]["model"] == copy["id"]
    first, second = ([artifact["sha256"] for artifact in job["artifacts"]] for job in jobs)
    assert first == second
    assert http.delete(f"/v1/models/{copy['id']}").status_code == 204


def test_exported_graph_computes_the_same_as_the_service(http: httpx.Client, trained: Json, tmp_path: Path) -> None:
    if not model_types.get(trained["model_type"]).onnx_parts:
        pytest.skip("has no graph")
    path = exported(http, trained["model"], "onnx", tmp_path)
    run = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    inputs = {each.name: each.shape for each in run.get_inputs()}
    if "ids" in inputs:
        sampling: Json = {"prompt": "import ", "length": 40, "temperature": 0}
        job = generate(http, {"model": trained["model"], "sampling": sampling})
        assert greedy(run, "import ", 40) == job["output"]["text"]
        return
    z = np.linspace(-1, 1, 2 * inputs["z"][1], dtype=np.float32).reshape(2, -1)
    given: dict[str, Any] = {"z": z} | ({"label": np.array([3, 3])} if "label" in inputs else {})
    sampling = {"labels": [3], "z": z.tolist()} if "label" in inputs else {"mode": "latent", "z": z.tolist()}
    job = generate(http, {"model": trained["model"], "sampling": sampling, "format": "npy"})
    images = np.load(io.BytesIO(download(http, job["artifacts"][0])), allow_pickle=False)
    assert np.allclose(run.run(None, given)[0], images, atol=1e-4)


def greedy(run: onnxruntime.InferenceSession, prompt: str, length: int) -> str:
    """The most likely text after a prompt."""
    vocabulary = run.get_modelmeta().custom_metadata_map["vocabulary"]
    state = {i.name: np.zeros((1, i.shape[1]), np.float32) for i in run.get_inputs()[1:]}
    text = prompt
    for place in range(len(prompt) + length - 1):
        logits, *after = run.run(None, {"ids": np.array([vocabulary.index(text[place])]), **state})
        state = dict(zip(state, after, strict=True))
        if place >= len(prompt) - 1:
            text += vocabulary[logits[0].argmax()]
    return text[len(prompt) :]


def test_consecutive_generations_are_answered_within_the_wait(http: httpx.Client, trained: Json) -> None:
    sampling = dict(model_types.get(trained["model_type"]).small_sampling)
    jobs = [generate(http, {"model": trained["model"], "sampling": sampling, "seed": seed}) for seed in range(9)]
    assert [job["attempt"] for job in jobs] == [1] * 9
    assert len({job["id"] for job in jobs}) == 9


@pytest.mark.slow
def test_uploaded_text_can_be_trained_on(http: httpx.Client) -> None:
    text = "".join(f"{n} green bottles hanging on the wall.\n" for n in range(2000))
    files = {"file": ("bottles.txt", text.encode(), "text/plain")}
    created = http.post("/v1/datasets", data={"name": "bottles", "kind": "text"}, files=files)
    assert created.status_code == 201, created.text
    assert http.post("/v1/datasets", data={"name": "bottles", "kind": "text"}, files=files).status_code == 409
    accepted = http.post(
        "/v1/training-jobs",
        json={
            "model_type": "lstm",
            "dataset": "bottles",
            "hyperparameters": {"epochs": 1, "layers": [32], "examples_per_epoch": 50_000},
        },
    )
    job = wait_for_job(http, f"/v1/training-jobs/{accepted.json()['id']}")
    assert job["status"] == "succeeded", job["error"]


@pytest.mark.slow
def test_running_job_is_cancelled_and_the_worker_claims_the_next(http: httpx.Client) -> None:
    long = {**TRAINING["vae"], "hyperparameters": {"epochs": 5000, "examples_per_epoch": 6000}}
    job_id = http.post("/v1/training-jobs", json=long).json()["id"]
    short_id = http.post("/v1/training-jobs", json=TRAINING["vae"]).json()["id"]
    while http.get(f"/v1/training-jobs/{job_id}").json()["status"] == "queued":
        pass
    assert http.get(f"/v1/training-jobs/{short_id}").json()["queue_position"] == 1
    assert http.post(f"/v1/training-jobs/{job_id}/cancel").status_code in {200, 202}
    assert wait_for_job(http, f"/v1/training-jobs/{job_id}")["status"] == "cancelled"
    assert wait_for_job(http, f"/v1/training-jobs/{short_id}")["status"] == "succeeded"
    assert http.post(f"/v1/training-jobs/{short_id}/cancel").status_code == 409


@pytest.mark.slow
def test_running_job_can_be_sampled_from_its_newest_checkpoint(http: httpx.Client) -> None:
    long = {**TRAINING["vae"], "hyperparameters": {"epochs": 5000, "examples_per_epoch": 6000}}
    job_id = http.post("/v1/training-jobs", json=long).json()["id"]
    try:
        while not http.get(f"/v1/training-jobs/{job_id}/checkpoints").json()["data"]:
            assert not http.get(f"/v1/training-jobs/{job_id}").json()["is_terminal"]
        job = generate(http, {"model": job_id, "sampling": {"mode": "random", "n": 4}})
        assert job["output"]["rows"] * job["output"]["columns"] >= 4
    finally:
        http.post(f"/v1/training-jobs/{job_id}/cancel")
