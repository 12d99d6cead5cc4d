"""The ready-made models on a fresh stack without internet, before anything is trained."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.model_types import REGISTRY
from tests.acceptance.stack import running_stack, wait_for_job
from tests.acceptance.test_main_job import generate

pytestmark = pytest.mark.slow
Json = dict[str, Any]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home: Path = tmp_path_factory.mktemp("fresh") / "home"
    environment = {"MIMEO_READY_MODELS": "1", "MIMEO_OFFLINE": "1"}
    with running_stack(home, environment) as stack, httpx.Client(base_url=stack.url, timeout=70) as client:
        yield client


@pytest.fixture(scope="module")
def models(fresh: httpx.Client) -> dict[str, Json]:
    """The ready-made models by type."""
    deadline = time.monotonic() + 60
    found: list[Json] = []
    while len(found) < len(REGISTRY) and time.monotonic() < deadline:
        found = fresh.get("/v1/models").json()["data"]
        time.sleep(0.1)
    return {model["model_type"]: model for model in found}


def test_there_is_one_of_each_type_and_no_job(fresh: httpx.Client, models: dict[str, Json]) -> None:
    assert models.keys() == REGISTRY.keys()
    assert {model["source"] for model in models.values()} == {"ready-made"}
    assert fresh.get("/v1/training-jobs").json()["data"] == []


@pytest.mark.parametrize("model_type", sorted(REGISTRY))
def test_it_generates_and_is_exported_for_the_playground(
    fresh: httpx.Client, models: dict[str, Json], model_type: str
) -> None:
    model = models[model_type]["id"]
    sampling = dict(REGISTRY[model_type].small_sampling)

    first, again = (generate(fresh, {"model": model, "sampling": sampling, "seed": 5}) for _ in range(2))
    graph = fresh.get(f"/v1/models/{model}/export", params={"format": "onnx"})

    assert [each["sha256"] for each in first["artifacts"]] == [each["sha256"] for each in again["artifacts"]]
    assert graph.status_code in {200, 503}
    while graph.status_code == 503:
        assert graph.json()["code"] == "export_pending"
        graph = fresh.get(f"/v1/models/{model}/export", params={"format": "onnx"})
    assert graph.status_code == 200, graph.text
    assert len(graph.content) > 10_000


def test_training_continues_from_a_ready_made_model(fresh: httpx.Client, models: dict[str, Json]) -> None:
    model = models["lstm"]
    sizes = {name: model["hyperparameters"][name] for name in ("layers", "embedding")}
    request = {
        "model_type": "lstm",
        "dataset": "python-source",
        "hyperparameters": {**dict(REGISTRY["lstm"].small), **sizes},
        "init_from": model["id"],
    }
    accepted = fresh.post("/v1/training-jobs", json=request)
    assert accepted.status_code == 202, accepted.text
    job = wait_for_job(fresh, f"/v1/training-jobs/{accepted.json()['id']}")
    assert job["status"] == "succeeded", job["error"]
