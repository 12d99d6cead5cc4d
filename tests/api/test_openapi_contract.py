"""The API conforms to its own OpenAPI document: schemathesis sends generated requests to the running server."""

import json
import subprocess
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import serve
from tests.api.worker_hands import WorkerWrites
from tests.fuzz import IS_LONG, SEED
from tests.servers import Valkey

EXAMPLES = 100 if IS_LONG else 8

# Real ids, so that requests reach past 404; and waits with an end.
CONFIG = """
[generation]
deterministic = true
max-examples = {examples}
database = "none"

[cache]
enabled = false

[checks]
# Errors that the document cannot express (a taken name, a missing model, memory) are 422; a body over the limit is 413.
positive_data_acceptance.expected-statuses = ["2xx", "3xx", "404", "409", "413", "416", "422"]
negative_data_rejection.expected-statuses = ["400", "404", "405", "409", "413", "415", "422"]

[dictionaries]
waits = {{ values = ["wait=1", "wait=0", "respond-async, wait=1", "wait=soon"] }}
training_jobs = {{ values = ["{training_job}"] }}
generation_jobs = {{ values = ["{generation_job}"] }}
models = {{ values = ["{model}"] }}
artifacts = {{ values = ["{artifact}"] }}
ended_jobs = {{ values = {ended_jobs} }}

[parameters]
"header.Prefer" = {{ dictionary = "waits" }}

[[operations]]
include-path = "/v1/datasets"
# A form has text alone: `true` in place of a string arrives as the name "true".
checks.negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "^/v1/training-jobs/"
exclude-method = "DELETE"
parameters = {{ "path.id" = {{ dictionary = "training_jobs", probability = 0.8 }} }}

[[operations]]
include-path-regex = "^/v1/generation-jobs/"
exclude-method = "DELETE"
parameters = {{ "path.id" = {{ dictionary = "generation_jobs", probability = 0.8 }} }}

[[operations]]
include-path = "/v1/generation-jobs"
include-method = "POST"
parameters = {{ "body.model" = {{ dictionary = "models", probability = 0.8 }} }}

[[operations]]
# Jobs that the rest of the run does not use.
include-path = "/v1/training-jobs/{{id}}"
include-method = "DELETE"
parameters = {{ "path.id" = {{ dictionary = "ended_jobs", probability = 0.8 }} }}

[[operations]]
include-path-regex = "^/v1/models/"
parameters = {{ "path.id" = {{ dictionary = "models", probability = 0.8 }} }}

[[operations]]
include-path-regex = "^/v1/artifacts/"
parameters = {{ "path.id" = {{ dictionary = "artifacts", probability = 0.8 }} }}
"""


@pytest.mark.slow
def test_each_response_conforms_to_the_document_and_none_is_a_server_error(
    settings: Settings, database: SessionFactory, storage: Storage, valkey: Valkey, tmp_path: Path
) -> None:
    live = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    worker = WorkerWrites(live, database, storage, CeleryBroker(live))
    with serve(live) as server:
        config = tmp_path / "schemathesis.toml"
        config.write_text(CONFIG.format(examples=EXAMPLES, **_rows(server.url, worker)))
        command = [
            str(Path(sysconfig.get_path("scripts")) / "schemathesis"),
            "--config-file",
            str(config),
            "run",
            f"--seed={SEED}",
            f"{server.url}/openapi/openapi.json",
        ]
        with _generating_worker(worker):
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        log = server.log.read_text()

    assert done.returncode == 0, done.stdout[-20_000:]
    assert "Traceback" not in log


def _rows(url: str, worker: WorkerWrites) -> dict[str, str]:
    """A training job with every kind of record, and a generation job; their ids."""
    vae = {"model_type": "vae", "dataset": "digits"}
    with httpx.Client(base_url=url, trust_env=False) as http:
        job = http.post("/v1/training-jobs", json=vae).json()
        lease = worker.claim(JobKind.TRAINING)
        worker.points(lease, "loss", [3.0, 2.0, 1.0])
        worker.file(lease, "epoch-0001-grid.png", b"\x89PNG and so on")
        model = worker.publish(lease)
        generation = http.post("/v1/generation-jobs", json={"model": model}).json()
        artifact = http.get(f"/v1/training-jobs/{job['id']}/samples").json()["data"][0]
        ended = [
            http.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).json() for _ in range(9)
        ]
        for each in ended:
            http.post(f"/v1/training-jobs/{each['id']}/cancel")
    return {
        "ended_jobs": json.dumps([each["id"] for each in ended]),
        "training_job": job["id"],
        "generation_job": generation["id"],
        "model": model,
        "artifact": artifact["id"],
    }


@contextmanager
def _generating_worker(worker: WorkerWrites) -> Iterator[None]:
    """A worker that ends each generation job at once."""
    stop = threading.Event()

    def generate() -> None:
        while not stop.is_set():
            lease = worker.claim_if_any(JobKind.GENERATION)
            if lease is None:
                time.sleep(0.02)
            else:
                for name in ("images.png", "decoder.onnx", "encoder.onnx"):
                    worker.file(lease, name, b"\x89PNG", kind="output")
                worker.finish(lease, {"width": 28, "height": 28, "rows": 1, "columns": 1})

    thread = threading.Thread(target=generate)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
