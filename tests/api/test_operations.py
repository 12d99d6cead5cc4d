from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from api.app import create_app
from shared import model_types
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import Worker
from shared.job_status import JobKind
from shared.services import workers
from shared.settings import Settings
from tests import jobs
from tests.api.worker_hands import WorkerWrites

pytestmark = pytest.mark.slow_on_postgresql


def samples(client: FlaskClient) -> dict[tuple[str, ...], float]:
    """All metrics of /metrics, by name and sorted label values."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in families
        for sample in family.samples
    }


def test_model_types_show_schemas_and_all_values_of_their_presets(client: FlaskClient) -> None:
    listed = {shown["name"]: shown for shown in client.get("/v1/model-types").get_json()["data"]}

    assert set(listed) == set(model_types.REGISTRY)
    for name, shown in listed.items():
        schema = shown["hyperparameters_schema"]
        assert schema["properties"]["epochs"]["minimum"] == 1
        assert shown["sampling_schema"]
        presets = {preset["name"]: preset["hyperparameters"] for preset in shown["presets"]}
        assert {"fast", "book"} <= set(presets)
        assert all(set(values) == set(schema["properties"]) for values in presets.values())
        assert client.get(f"/v1/model-types/{name}").get_json() == shown
    assert client.get("/v1/model-types/vea").status_code == 404


def record_heartbeat(
    database: SessionFactory, worker_id: str, silent_for: timedelta | None = None, **values: Any
) -> None:
    with transaction(database) as session:
        known = {"kind": "training", "host": "host", "pid": 1, "device": "cpu", "job_id": None, "jobs_done": 3}
        workers.record_heartbeat(session, worker_id=worker_id, **{**known, "examples_per_s": None, **values})
        if silent_for is not None:
            session.get_one(Worker, worker_id).heartbeat_at = datetime.now(UTC) - silent_for


def test_worker_is_listed_with_its_job(client: FlaskClient, database: SessionFactory) -> None:
    record_heartbeat(database, "training@host-1", job_id="trn_1", pid=42, device="cuda", examples_per_s=22000.0)

    [listed] = client.get("/v1/workers").get_json()["data"]

    assert listed["heartbeat_at"] >= listed["started_at"]
    shown = {name: listed[name] for name in ("id", "kind", "host", "pid", "device", "job", "jobs_done", "is_alive")}
    assert shown == {
        "id": "training@host-1",
        "kind": "training",
        "host": "host",
        "pid": 42,
        "device": "cuda",
        "job": "trn_1",
        "jobs_done": 3,
        "is_alive": True,
    }
    assert listed["examples_per_s"] == 22000.0


def test_worker_is_listed_with_the_generations_that_it_has_interrupted(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites
) -> None:
    client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"})
    model = worker.publish(worker.claim(JobKind.TRAINING))
    ids = []
    for priority in ("low", "normal", "high"):
        ids.append(client.post("/v1/generation-jobs", json={"model": model, "priority": priority}).get_json()["id"])
        worker.claim(JobKind.GENERATION)
    record_heartbeat(database, "test-worker", kind="generation", job_id=ids[2])
    record_heartbeat(database, "other", kind="generation", job_id=None)

    listed = client.get("/v1/workers").get_json()["data"]

    shown = {row["id"]: (row["job"], row["interrupted_jobs"]) for row in listed}
    assert shown == {"test-worker": (ids[2], ids[:2]), "other": (None, [])}


def test_silent_worker_is_listed_for_a_day_after_the_live_ones(client: FlaskClient, database: SessionFactory) -> None:
    record_heartbeat(database, "a-silent", timedelta(hours=2))
    record_heartbeat(database, "b-silent", timedelta(hours=1), job_id="trn_1")
    record_heartbeat(database, "c-forgotten", timedelta(hours=25))
    record_heartbeat(database, "z-there")

    listed = client.get("/v1/workers").get_json()["data"]

    assert [(row["id"], row["is_alive"]) for row in listed] == [
        ("z-there", True),
        ("b-silent", False),
        ("a-silent", False),
    ]
    assert listed[1]["job"] == "trn_1"


def test_wait_of_the_oldest_job_excludes_the_time_of_its_pause(client: FlaskClient, database: SessionFactory) -> None:
    job_id = client.post("/v1/training-jobs", json={"model_type": "vae", "dataset": "digits"}).get_json()["id"]
    client.post(f"/v1/training-jobs/{job_id}/pause")
    jobs.set_values(database, job_id, created_at=datetime.now(UTC) - timedelta(days=7))
    client.post(f"/v1/training-jobs/{job_id}/resume")
    assert samples(client)["mimeo_oldest_queued_seconds", "training"] < 60


def test_health_needs_no_other_service(settings: Settings) -> None:
    unavailable = Settings(home=settings.home, database_url=SecretStr("postgresql://nobody@127.0.0.1:1/mimeo"))
    client = create_app(unavailable, broker=NullBroker()).test_client()

    assert client.get("/healthz").get_json() == {"status": "ok"}


def test_readiness_names_the_unavailable_server(
    client: FlaskClient, broker: NullBroker, settings: Settings, database: SessionFactory, unreachable_store: str
) -> None:
    assert client.get("/readyz").get_json()["status"] == "ready"

    broker.is_up = False
    without_redis = client.get("/readyz")
    unavailable = Settings(home=settings.home, database_url=SecretStr("postgresql://nobody@127.0.0.1:1/mimeo"))
    without_database = create_app(unavailable, broker=NullBroker()).test_client().get("/readyz")
    storeless = create_app(settings.model_copy(update={"storage_url": unreachable_store}), broker=NullBroker())
    without_store = storeless.test_client().get("/readyz")
    storeless.extensions["mimeo"].close()

    answers = ((without_redis, "redis"), (without_database, "database"), (without_store, "storage"))
    for response, missing in answers:
        body = response.get_json()
        assert (response.status_code, body["status"]) == (503, "unavailable")
        assert [check["name"] for check in body["checks"] if not check["ok"]] == [missing]


def test_database_without_tables_is_not_ready(settings: Settings) -> None:
    empty = Settings(home=settings.home / "other")
    app = create_app(empty, broker=NullBroker())

    response = app.test_client().get("/readyz")
    app.extensions["mimeo"].close()

    assert response.status_code == 503
    assert "jobs" in response.get_json()["checks"][0]["detail"]


def test_metrics_count_requests_jobs_and_notifications(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites
) -> None:
    body = {"model_type": "vae", "dataset": "digits"}
    ids = [client.post("/v1/training-jobs", json=body).get_json()["id"] for _ in range(3)]
    jobs.set_values(database, ids[1], updated_at=datetime.now(UTC) - timedelta(hours=1))
    worker.publish(worker.claim(JobKind.TRAINING))
    client.application.extensions["mimeo"].broker.record_dropped(JobKind.GENERATION)

    figures = samples(client)

    assert figures["mimeo_http_requests_total", "POST", "/v1/training-jobs", "202"] == 3
    assert figures["mimeo_http_request_seconds_count", "POST", "/v1/training-jobs"] == 3
    assert figures["mimeo_jobs", "training", "queued"] == 2
    assert figures["mimeo_jobs", "training", "succeeded"] == 1
    assert figures["mimeo_queue_notifications", "training"] == 3
    assert figures["mimeo_messages_dropped_total", "generation"] == 1
    assert figures["mimeo_messages_dropped_total", "training"] == 0
    assert 3600 <= figures["mimeo_oldest_queued_seconds", "training"] < 7200
    assert figures[("mimeo_database_up",)] == figures[("mimeo_redis_up",)] == 1


def test_metrics_are_served_without_the_database_and_redis(settings: Settings) -> None:
    unavailable = Settings(home=settings.home, database_url=SecretStr("postgresql://nobody@127.0.0.1:1/mimeo"))
    broker = NullBroker()
    broker.is_up = False

    figures = samples(create_app(unavailable, broker=broker).test_client())

    assert figures[("mimeo_database_up",)] == figures[("mimeo_redis_up",)] == 0


def test_root_redirects_to_the_documentation_which_works_offline(client: FlaskClient) -> None:
    root = client.get("/").get_json()

    page = client.get(root["documentation"], follow_redirects=True)

    assert page.status_code == 200
    assert "swagger-ui" in page.text
    assert "https://" not in page.text
    assert client.get(root["openapi"]).get_json()["openapi"] == "3.1.0"
