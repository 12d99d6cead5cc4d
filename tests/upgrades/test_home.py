"""A home of the release before: it is migrated, its unfinished trainings continue, and its models are served."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.model_types import REGISTRY
from tests.acceptance.stack import running_stack, wait_for_job
from tests.upgrades.make_fixture import FINISHED, FIXTURE, TINY

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A stack of this version in the home."""
    home: Path = tmp_path_factory.mktemp("upgrade") / "home"
    with tarfile.open(FIXTURE) as archive:
        archive.extractall(home, filter="data")
    environment = {"MIMEO_LEASE_S": "5", "MIMEO_HEARTBEAT_S": "1", "MIMEO_BACKOFF_S": "0.1"}
    with (
        running_stack(home, environment) as stack,
        httpx.Client(base_url=stack.url, timeout=70) as client,
    ):
        yield client


def jobs_named(http: httpx.Client, name: str) -> dict[str, Json]:
    """Training jobs of this name, by model type."""
    found = http.get("/v1/training-jobs", params={"limit": 100}).json()["data"]
    return {job["model_type"]: job for job in found if job["name"] == name}


def resumed_at(http: httpx.Client, job: Json) -> list[int]:
    """Steps at which the attempts of a job started."""
    events = http.get(job["urls"]["events"], params={"limit": 100}).json()["data"]
    return [event["data"]["step"] for event in events if event["type"] == "started"]


def test_paused_and_interrupted_trainings_continue_from_their_checkpoints(http: httpx.Client) -> None:
    paused = jobs_named(http, "paused")
    assert paused.keys() == TINY.keys() <= REGISTRY.keys()
    for job in paused.values():
        assert http.post(job["urls"]["resume"]).status_code in {200, 202}
    jobs = [*paused.values(), *jobs_named(http, "running").values()]

    for job in jobs:
        ended = wait_for_job(http, job["urls"]["self"])
        assert ended["status"] == "succeeded", (job["model_type"], ended["error"])
        first, second = resumed_at(http, ended)
        assert first == 0 < second < ended["progress"]["steps"]


def test_finished_models_generate_and_are_downloaded(http: httpx.Client) -> None:
    jobs = jobs_named(http, "finished")
    assert jobs.keys() == set(FINISHED)
    for model_type, job in jobs.items():
        request = {"model": job["model"], "sampling": dict(REGISTRY[model_type].small_sampling), "seed": 1}
        generated = http.post("/v1/generation-jobs", json=request, headers={"Prefer": "wait=60"}).json()
        assert generated["status"] == "succeeded", generated
        file = http.get(f"/v1/models/{job['model']}/export", params={"format": "safetensors"})
        assert file.headers["ETag"].strip('"') == job_checkpoint(http, job["model"])["sha256"]


def job_checkpoint(http: httpx.Client, model_id: str) -> Json:
    found: Json = http.get(f"/v1/models/{model_id}").json()["checkpoint"]
    return found


def test_datasets_of_the_home_train_new_jobs(http: httpx.Client) -> None:
    names = {dataset["name"]: dataset for dataset in http.get("/v1/datasets").json()["data"]}
    assert {"verses", "dots"} <= names.keys()
    body = {
        "model_type": "vae",
        "dataset": "dots",
        "hyperparameters": TINY["vae"] | {"epochs": 1, "examples_per_epoch": 32},
    }
    job = http.post("/v1/training-jobs", json=body).json()
    assert wait_for_job(http, job["urls"]["self"])["status"] == "succeeded"
