"""A server on SQLite and Valkey with a row of every resource."""

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(params=["sqlite"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """One database is enough: the requests reach it after their checks."""
    return str(request.param)


@pytest.fixture
def server(settings: Settings, database: SessionFactory, valkey: Valkey) -> Iterator[Server]:
    """The running server."""
    with serve(settings.model_copy(update={"redis_url": SecretStr(valkey.url)})) as running:
        yield running


@pytest.fixture
def ids(
    settings: Settings, database: SessionFactory, storage: Storage, valkey: Valkey, server: Server
) -> dict[str, str]:
    """Ids of a training job, its model, a generation job and an artifact; the name of an uploaded dataset."""
    live = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    worker = WorkerWrites(live, database, storage, CeleryBroker(live))
    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        job = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).json()["id"]
        lease = worker.claim(JobKind.TRAINING)
        worker.file(lease, "epoch-0001-grid.png", b"\x89PNG and so on")
        model = worker.publish(lease)
        generation = client.post("/v1/generation-jobs", json={"model": model}).json()["id"]
        artifact = client.get(f"/v1/training-jobs/{job}/samples").json()["data"][0]["id"]
        files = {"file": ("a.txt", b"one two three\n" * 200)}
        client.post("/v1/datasets", data={"name": "verses", "kind": "text"}, files=files).raise_for_status()
        spare = {}
        for number in range(30):
            ended = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).json()["id"]
            client.post(f"/v1/training-jobs/{ended}/cancel").raise_for_status()
            spare[f"spare-trn-{number}"] = ended
    return {**spare, "trn": job, "mdl": model, "gen": generation, "art": artifact, "dataset": "verses"}
