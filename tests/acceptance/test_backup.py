"""A backup of a real stack that trains, restored into an empty one on another database."""

import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.model_types import REGISTRY
from tests.acceptance.stack import MIMEO, Stack, running_stack, wait_for_job
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.slow

TEXT = "the quick brown fox jumps over the lazy dog\n" * 200
LONG = {
    "model_type": "vae",
    "dataset": "digits",
    "hyperparameters": {"epochs": 150, "examples_per_epoch": 1500, "hidden": [32]},
    "seed": 7,
}


def mimeo(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [MIMEO, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def submit(http: httpx.Client, body: dict[str, Any]) -> str:
    answer = http.post("/v1/training-jobs", json=body)
    assert answer.status_code == 202, answer.text
    return f"/v1/training-jobs/{answer.json()['id']}"


def small_jobs(http: httpx.Client) -> list[str]:
    """A training job of each model type, on an uploaded text or on built-in images."""
    form, files = {"name": "verses", "kind": "text"}, {"file": ("text.txt", TEXT.encode())}
    assert http.post("/v1/datasets", data=form, files=files).status_code == 201
    return [
        submit(
            http,
            {
                "model_type": name,
                "dataset": "verses" if contract.data_kind == "text" else "digits",
                "hyperparameters": dict(contract.small),
                "seed": 7,
            },
        )
        for name, contract in REGISTRY.items()
    ]


def weights(http: httpx.Client) -> dict[str, str]:
    """SHA-256 of the weights of every model, as they are downloaded."""
    found = {}
    for model in http.get("/v1/models").json()["data"]:
        answer = http.get(f"/v1/models/{model['id']}/export", params={"format": "safetensors"})
        assert answer.status_code == 200
        found[model["id"]] = hashlib.sha256(answer.content).hexdigest()
        assert found[model["id"]] == model["checkpoint"]["sha256"]
    return found


def status_in(backup: Path, path: str) -> str:
    """The status of a job in a backup."""
    with zipfile.ZipFile(backup) as archive, archive.open("tables/jobs.jsonl") as lines:
        return {row["id"]: str(row["status"]) for row in map(json.loads, lines)}[path.rpartition("/")[2]]


def client(stack: Stack) -> httpx.Client:
    return httpx.Client(base_url=stack.url, timeout=70)


def test_backup_of_a_running_training_is_restored_on_another_database_and_ends_with_the_same_weights(
    tmp_path: Path, make_database: Callable[[str], str]
) -> None:
    backup = tmp_path / "backup.zip"
    with running_stack(tmp_path / "home") as stack, client(stack) as http:
        for path in small_jobs(http):
            job = wait_for_job(http, path)
            assert job["status"] == "succeeded", job["error"]
        models = weights(http)
        long = submit(http, LONG)
        wait_until(lambda: http.get(f"{long}/checkpoints").json()["data"])
        mimeo("backup", str(backup), MIMEO_HOME=str(stack.home))
        assert status_in(backup, long) == "running"
        uninterrupted = wait_for_job(http, long)
        expected = http.get(f"/v1/models/{uninterrupted['model']}").json()["checkpoint"]["sha256"]

    database = {"MIMEO_DATABASE_URL": make_database("postgresql")}
    mimeo("restore", str(backup), MIMEO_HOME=str(tmp_path / "restored"), **database)
    with running_stack(tmp_path / "restored", database) as stack, client(stack) as http:
        restored = wait_for_job(http, long)
        assert (restored["status"], restored["attempt"]) == ("succeeded", 1), restored["error"]
        events = http.get(restored["urls"]["events"]).json()["data"]
        assert any(event["message"].startswith("Resumes at step") for event in events)
        published = http.get(f"/v1/models/{restored['model']}").json()["checkpoint"]["sha256"]
        assert published == expected
        found = weights(http)
        assert {name: found[name] for name in models} == models
        assert len(models) == len(REGISTRY)
        request = {"model": next(iter(models)), "sampling": {}, "seed": 1}
        assert http.post("/v1/generation-jobs", json=request, headers={"Prefer": "wait=60"}).status_code == 200
        assert http.get("/v1/datasets/verses").status_code == 200
