"""Trainings from the weights of another model on the real stack, and what is refused before a worker sees it."""

from typing import Any

import httpx
import pytest

from tests.acceptance.stack import wait_for_job

Json = dict[str, Any]

ENGLISH = "the quick brown fox jumps over the lazy dog and runs away\n" * 60
SAME_CHARACTERS = "a lazy dog jumps over the quick brown fox\nand the fox runs\n" * 60
FRENCH = "le vif renard brun saute par-dessus le chien paresseux à l'été\r\n" * 60
SMALL: Json = {
    "layers": [24, 16],
    "embedding": 8,
    "window": 64,
    "batch_size": 4,
    "examples_per_epoch": 512,
    "epochs": 1,
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def texts(http: httpx.Client) -> Json:
    """The names of three uploaded texts."""
    contents = {"init-english": ENGLISH, "init-same": SAME_CHARACTERS, "init-french": FRENCH}
    for name, text in contents.items():
        form, files = {"name": name, "kind": "text"}, {"file": ("text.txt", text.encode())}
        answer = http.post("/v1/datasets", data=form, files=files)
        assert answer.status_code == 201, answer.text
    return contents


def submit(http: httpx.Client, dataset: str, **fields: Any) -> httpx.Response:
    hyperparameters = {**SMALL, **fields.pop("hyperparameters", {})}
    body = {"model_type": "lstm", "dataset": dataset, "seed": 7, "hyperparameters": hyperparameters, **fields}
    return http.post("/v1/training-jobs", json=body)


def trained(http: httpx.Client, dataset: str, **fields: Any) -> Json:
    accepted = submit(http, dataset, **fields)
    assert accepted.status_code == 202, accepted.text
    job = wait_for_job(http, f"/v1/training-jobs/{accepted.json()['id']}")
    assert job["status"] == "succeeded", job["error"]
    return job


@pytest.fixture(scope="module")
def model(http: httpx.Client, texts: Json) -> str:
    """A model of the English text with window 64."""
    return str(trained(http, "init-english")["model"])


@pytest.mark.parametrize(
    ("dataset", "window"), [("init-english", 65), ("init-english", 32), ("init-english", 128), ("init-same", 64)]
)
def test_another_window_and_another_text_with_the_same_characters_train_without_a_warning(
    http: httpx.Client, model: str, dataset: str, window: int
) -> None:
    job = trained(http, dataset, init_from=model, hyperparameters={"window": window})
    assert all(warning["code"] != "alphabet_changed" for warning in job["warnings"])


def test_another_alphabet_trains_and_names_the_fresh_characters(http: httpx.Client, model: str) -> None:
    job = trained(http, "init-french", init_from=model)

    [warning] = [each for each in job["warnings"] if each["code"] == "alphabet_changed"]
    assert "U+00E9" in warning["message"]
    events = http.get(job["urls"]["events"]).json()["data"]
    assert [event["message"].startswith(warning["message"]) for event in events if event["type"] == "alphabet_changed"]
    assert warning in http.get(f"/v1/models/{job['model']}").json()["warnings"]


def test_another_shape_is_refused_with_the_field(http: httpx.Client, model: str) -> None:
    answer = submit(http, "init-english", init_from=model, hyperparameters={"layers": [8]})
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["pointer"] == "/hyperparameters/layers"
    assert "layers = [24, 16], and this job has [8]" in error["detail"]


def test_unknown_characters_are_refused_and_line_ends_are_normalised(http: httpx.Client, model: str) -> None:
    def generate(sampling: Json) -> httpx.Response:
        body = {"model": model, "sampling": {"length": 8, **sampling}}
        return http.post("/v1/generation-jobs", json=body, headers={"Prefer": "wait=60"})

    refused = generate({"prompt": "the \u00e9", "stop": ["Z"]})
    assert refused.status_code == 422
    assert {error["pointer"] for error in refused.json()["errors"]} == {"/sampling/prompt", "/sampling/stop/0"}
    assert any("U+00E9 (é)" in error["detail"] for error in refused.json()["errors"])

    accepted = generate({"prompt": "the fox\r\n", "stop": ["\r\n"]})
    assert accepted.status_code == 200, accepted.text
    assert accepted.json()["sampling"]["prompt"] == "the fox\n"
