"""A model type with a contract, a model and a line in the registry is served, trained, sampled and typed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.openapi import DocumentedApi
from shared import model_types
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests.api.conftest import app, client, worker  # noqa: F401  fixtures
from tests.api.worker_hands import WorkerWrites
from tests.client.server import Reply, Request, serving, training_job
from tests.client.test_cli import mimeo
from tests.fourth_type.contract import SKETCH
from worker.checkpoints.manifest import CheckpointRef
from worker.generation.engine import GenerationEngine

pytestmark = pytest.mark.usefixtures("fourth_type")
ROOT = Path(__file__).parents[2]


def test_api_lists_its_schemas_presets_and_the_meaning_of_its_figures(client: FlaskClient) -> None:  # noqa: F811
    shown = client.get("/v1/model-types/sketch").get_json()

    listed = client.get("/v1/model-types").get_json()["data"]
    assert [each["name"] for each in listed] == sorted(model_types.REGISTRY)
    assert shown in listed
    assert (shown["metrics"], shown["quality"]) == (list(SKETCH.metrics), list(SKETCH.quality))
    assert shown["metric_docs"][0] == {
        "name": "error",
        "meaning": "Squared error of a training image, per pixel.",
        "better": "lower",
        "is_headline": True,
        "bands": None,
    }
    assert [each["name"] for each in shown["quality_docs"]] == ["val_loss", "spread"]


def test_api_validates_its_requests_by_its_contract(client: FlaskClient, worker: WorkerWrites) -> None:  # noqa: F811
    asked = {"model_type": "sketch", "dataset": "digits", "hyperparameters": {"codes": 4}}
    accepted = client.post("/v1/training-jobs", json=asked)
    assert accepted.status_code == 202, accepted.text
    assert accepted.get_json()["hyperparameters"]["codes"] == 4
    refused = client.post("/v1/training-jobs", json={**asked, "hyperparameters": {"coeds": 4}}).get_json()
    assert refused["errors"][0]["pointer"] == "/hyperparameters/coeds"
    wrong_data = client.post("/v1/training-jobs", json={**asked, "dataset": "python-source"}).get_json()
    assert wrong_data["errors"][0]["pointer"] == "/dataset"
    found = client.get("/v1/training-jobs?model_type=sketch").get_json()["data"]
    assert [job["id"] for job in found] == [accepted.get_json()["id"]]

    model = worker.publish(worker.claim(JobKind.TRAINING))
    response = client.post("/v1/generation-jobs", json={"model": model, "sampling": {"mode": "grid", "side": 2}})
    assert response.get_json()["sampling"] == {"mode": "grid", "side": 2}
    refused = client.post("/v1/generation-jobs", json={"model": model, "sampling": {"shades": [0.5]}}).get_json()
    assert refused["errors"][0]["pointer"] == "/sampling/shades"


def references(value: Any) -> Iterator[str]:
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key == "$ref":
            yield item
        else:
            yield from references(item)


def test_openapi_document_distinguishes_schemas_of_one_name(app: DocumentedApi, client: FlaskClient) -> None:  # noqa: F811
    document = client.get("/openapi/openapi.json").get_json()

    schemas = document["components"]["schemas"]
    assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)
    assert set(schemas["GridSampling"]["properties"]) > {"points", "dims"}
    assert set(schemas["SketchGridSampling"]["properties"]) == {"mode", "side"}
    assert schemas["Priority"]["enum"] == ["low", "normal", "high"]
    assert schemas["SketchPriority"]["enum"] == ["centre", "edge"]
    focus = json.dumps(schemas["SketchHyperparameters"]["properties"]["focus"])
    assert "#/components/schemas/SketchPriority" in focus
    assert "sketch" in schemas["TrainingRequest"]["discriminator"]["mapping"]
    assert "Standard deviation of the codes" in schemas["Model"]["properties"]["quality"]["description"]


def test_trainer_program_trains_it_and_the_generator_samples_from_its_checkpoint(tmp_path: Path) -> None:
    spec, folder = tmp_path / "spec.json", tmp_path / "run"
    spec.write_text(json.dumps({"model_type": "sketch", "hyperparameters": dict(SKETCH.small), "threads": 1}))
    environment = {**os.environ, "MIMEO_HOME": str(tmp_path), "MIMEO_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.fourth_type.trainer", str(spec), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((folder / "result.json").read_text())
    assert set(result["finished"]["quality"]) == set(SKETCH.quality)

    settings = Settings(home=tmp_path, offline=True)
    storage = Storage.open_url(settings.resolved_storage_url)
    storage.put_tree(folder / result["finished"]["checkpoint"], "jobs/sketch")
    checkpoint = CheckpointRef(id="ckp_1", storage_key="jobs/sketch", sha256=result["sha256"], model_type="sketch")
    made = GenerationEngine(settings).generate(checkpoint, {"count": 3, "inverted": True}, 1, "png", tmp_path)
    assert (made.output["rows"], made.output["columns"]) == (1, 3)
    assert made.files[0].path.read_bytes().startswith(b"\x89PNG")


def test_its_hyperparameters_and_sampling_are_options_of_the_command_line(tmp_path: Path) -> None:
    def answer(request: Request) -> Reply:
        if request.method == "POST":
            return Reply(202, training_job(status="failed", is_terminal=True, error=None))
        return Reply(body={"id": "mdl_1", "model_type": "sketch"})

    with serving(answer) as server:
        sampling = ("--count", "3", "--shades", "0.1,0.9", "--inverted", "true")
        mimeo("generate", *sampling, "mdl_1", url=server.url, cwd=tmp_path)
        mimeo("train", "sketch", "--codes", "4", "--focus", "edge", url=server.url)
        shown = mimeo("generate", "--help", url=server.url)
    generation, training = (json.loads(request.body) for request in server.requests if request.method == "POST")
    assert generation["sampling"] == {"count": 3, "shades": [0.1, 0.9], "inverted": True}
    assert training["hyperparameters"] == {"codes": 4, "focus": "edge"}
    assert "--shades" in shown.stdout


def test_fourth_type_can_train_on_a_new_kind_of_data(
    client: FlaskClient,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    monkeypatch.setitem(model_types.REGISTRY, "sketch", replace(SKETCH, data_kind="spectra"))

    assert client.get("/v1/model-types/sketch").get_json()["data_kind"] == "spectra"
    refused = client.post("/v1/training-jobs", json={"model_type": "sketch"}).get_json()
    assert "learns from spectra; digits is images" in refused["detail"]
