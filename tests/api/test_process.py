"""The API as a process: its imports, memory, answers and shutdown."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from shared.broker import CeleryBroker
from shared.db.session import SessionFactory
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests.api.live import Server, serve
from tests.api.worker_hands import WorkerWrites
from tests.servers import Valkey
from tests.waiting import PATIENCE_S, wait_until

MEBIBYTE = 1 << 20
VAE = {"model_type": "vae", "dataset": "digits"}


@pytest.fixture
def live_settings(settings: Settings, valkey: Valkey) -> Settings:
    return settings.model_copy(update={"redis_url": SecretStr(valkey.url)})


@pytest.fixture
def live_worker(live_settings: Settings, database: SessionFactory, storage: Storage) -> WorkerWrites:
    return WorkerWrites(live_settings, database, storage, CeleryBroker(live_settings))


@pytest.fixture
def server(live_settings: Settings, database: SessionFactory) -> Iterator[Server]:
    with serve(live_settings) as running:
        yield running


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30, trust_env=False) as client:
        yield client


def test_application_loads_no_torch_and_little_memory(tmp_path: Path) -> None:
    program = """
import sys, psutil, json
import api.wsgi
heavy = {"torch", "numpy", "worker"} & set(sys.modules)
print(json.dumps({"heavy": sorted(heavy), "rss": psutil.Process().memory_info().rss}))
"""
    environment = {"MIMEO_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)

    seen = json.loads(done.stdout)
    assert seen["heavy"] == []
    assert seen["rss"] < 150 * MEBIBYTE


def test_forked_process_opens_its_own_connections(tmp_path: Path) -> None:
    program = """
import os, sys
from api.wsgi import app
from shared.db.tables import Base

runtime = app.extensions["mimeo"]
with runtime.writing() as session:
    Base.metadata.create_all(session.connection())
parents = [runtime.broker, runtime.storage, runtime._engine]
if os.fork() == 0:
    answered = app.test_client().get("/v1/training-jobs").status_code == 200
    own = [runtime.broker, runtime.storage, runtime._engine]
    os._exit(0 if answered and all(one is not other for one, other in zip(own, parents)) else 1)
_, status = os.wait()
sys.exit(os.waitstatus_to_exitcode(status))
"""
    environment = {"MIMEO_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_server_stays_under_150_mebibytes_after_many_requests(server: Server, http: httpx.Client) -> None:
    for _ in range(50):
        assert http.post("/v1/training-jobs", json=VAE).status_code == 202
        assert http.get("/v1/training-jobs?limit=100").status_code == 200
        assert http.get("/openapi/openapi.json").status_code == 200
        assert http.get("/metrics").status_code == 200

    assert server.resources().memory_info().rss < 150 * MEBIBYTE


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_requests_are_logged_as_json_with_their_id(server: Server, http: httpx.Client) -> None:
    request_id = http.get("/v1/models/mdl_1").headers["X-Request-Id"]

    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == request_id]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/v1/models/mdl_1", 404)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_stopping_server_completes_its_current_request(
    server: Server, http: httpx.Client, live_worker: WorkerWrites
) -> None:
    http.post("/v1/training-jobs", json=VAE)
    model = live_worker.publish(live_worker.claim(JobKind.TRAINING))
    answers: list[httpx.Response] = []

    def wait() -> None:
        answers.append(http.post("/v1/generation-jobs", json={"model": model}, headers={"Prefer": "wait=2"}))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: http.get("/v1/generation-jobs").json()["data"])
    server.process.terminate()
    waiting.join()

    assert server.process.wait(PATIENCE_S) == 0
    assert [answer.status_code for answer in answers] == [202]
