"""A whole stack with its files in an object store."""

from pathlib import Path

import httpx
import pytest
import safetensors.numpy

from tests import servers
from tests.acceptance.stack import running_stack, wait_for_job
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

JOB = {
    "model_type": "vae",
    "dataset": "digits",
    "hyperparameters": {"epochs": 2, "examples_per_epoch": 2000, "hidden": [32]},
    "seed": 7,
}


def test_stack_on_an_object_store_trains_generates_deletes_and_reports_an_outage(tmp_path: Path) -> None:
    with servers.object_store() as store:
        env = {**store.environment, "MIMEO_STORAGE_URL": store.url, "MIMEO_RECONCILE_S": "0.2"}
        with (
            running_stack(tmp_path / "home", env) as stack,
            httpx.Client(base_url=stack.url, timeout=70) as http,
        ):
            path = f"/v1/training-jobs/{http.post('/v1/training-jobs', json=JOB).json()['id']}"
            job = wait_for_job(http, path)
            assert job["status"] == "succeeded", job["error"]

            sample = http.get(f"{path}/samples").json()["data"][0]
            assert http.get(sample["urls"]["content"]).content.startswith(b"\x89PNG")
            weights = http.get(f"/v1/models/{job['model']}/export", params={"format": "safetensors"})
            assert weights.status_code == 200
            assert safetensors.numpy.load(weights.content)
            export = f"/v1/models/{job['model']}/export?format=safetensors"
            part = http.get(export, headers={"Range": "bytes=100-109"})
            assert (part.status_code, part.content) == (206, weights.content[100:110])
            request = {"model": job["model"], "sampling": {"mode": "random", "n": 4}, "seed": 1}
            generation = http.post("/v1/generation-jobs", json=request, headers={"Prefer": "wait=60"}).json()
            assert generation["status"] == "succeeded", generation
            assert not list((tmp_path / "home" / "storage").rglob("*"))

            assert store.names()
            assert http.delete(path).status_code == 204
            wait_until(lambda: not [name for name in store.names() if job["id"] in name])
            assert http.get("/readyz").status_code == 200

            store.kill()
            away = http.get("/readyz")
            assert away.status_code == 503
            assert [check["name"] for check in away.json()["checks"] if not check["ok"]] == ["storage"]
            unread = http.get(generation["artifacts"][0]["urls"]["content"])
            assert (unread.status_code, unread.json()["code"]) == (503, "unavailable")
