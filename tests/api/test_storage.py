"""Disk space of stored files, and the removal of ended jobs."""

from datetime import UTC, datetime, timedelta

from flask.testing import FlaskClient

from shared.db.session import SessionFactory, reading
from shared.db.tables import Job
from shared.job_status import JobKind
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.api.worker_hands import WorkerWrites
from worker.sweeper import Sweeper

BODY = {"model_type": "vae", "dataset": "digits"}


def ended(client: FlaskClient, database: SessionFactory, worker: WorkerWrites, *, days_ago: float) -> dict[str, str]:
    """A cancelled job and one with a model, which both ended some days ago, and a job that waits. Ids by kind."""
    made = client.post("/v1/training-jobs", json=BODY).get_json()["id"]
    worker.publish(worker.claim(JobKind.TRAINING))
    cancelled, waiting = (client.post("/v1/training-jobs", json=BODY).get_json()["id"] for _ in range(2))
    client.post(f"/v1/training-jobs/{cancelled}/cancel")
    for job_id in (made, cancelled):
        jobs.set_values(database, job_id, finished_at=datetime.now(UTC) - timedelta(days=days_ago))
    return {"model": made, "cancelled": cancelled, "waiting": waiting}


def left(database: SessionFactory, ids: dict[str, str]) -> set[str]:
    with reading(database) as session:
        return {kind for kind, job_id in ids.items() if session.get(Job, job_id)}


def test_prune_removes_old_ended_jobs_and_keeps_models_unless_told_otherwise(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites
) -> None:
    ids = ended(client, database, worker, days_ago=31)

    shown = client.post("/v1/storage/prune?dry_run=true").get_json()
    assert ([job["id"] for job in shown["jobs"]], shown["dry_run"]) == ([ids["cancelled"]], True)
    assert left(database, ids) == {"model", "cancelled", "waiting"}

    younger = client.post("/v1/storage/prune?older_than_days=32").get_json()
    assert (younger["jobs"], left(database, ids)) == ([], {"model", "cancelled", "waiting"})

    assert client.post("/v1/storage/prune").status_code == 200
    assert left(database, ids) == {"model", "waiting"}

    with_models = client.post("/v1/storage/prune?models=true").get_json()
    assert ([job["id"] for job in with_models["jobs"]], with_models["size"] > 0) == ([ids["model"]], True)
    assert left(database, ids) == {"waiting"}


def test_prune_with_an_invalid_age_names_the_parameter(client: FlaskClient) -> None:
    response = client.post("/v1/storage/prune?older_than_days=-1")
    assert (response.status_code, response.get_json()["errors"][0]["pointer"]) == (422, "?older_than_days")


def test_sweeper_removes_jobs_past_their_retention(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites, settings: Settings, storage: Storage
) -> None:
    ids = ended(client, database, worker, days_ago=8)
    Sweeper(settings, database, storage).round()
    assert left(database, ids) == {"model", "cancelled", "waiting"}

    Sweeper(settings.model_copy(update={"keep_jobs_days": 7.0}), database, storage).round()

    assert left(database, ids) == {"model", "waiting"}


def test_storage_shows_free_space_and_files_by_kind(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites, settings: Settings
) -> None:
    ended(client, database, worker, days_ago=1)
    space = client.get("/v1/storage").get_json()
    assert space["used"]["checkpoint"] > 0
    assert space["min_free"] == settings.min_free_bytes
    assert space["total"] is None or space["free"] <= space["total"]


def test_prune_of_a_kind_of_files_keeps_the_job_the_newest_files_and_published_weights(
    client: FlaskClient, database: SessionFactory, worker: WorkerWrites
) -> None:
    job_id = client.post("/v1/training-jobs", json=BODY).get_json()["id"]
    lease = worker.claim(JobKind.TRAINING)
    for epoch in (1, 2, 3):
        worker.file(lease, f"epoch-{epoch:04}.png", b"x" * epoch, epoch=epoch, step=100 * epoch)
    worker.publish(lease)
    jobs.set_values(database, job_id, finished_at=datetime.now(UTC) - timedelta(days=31))
    url = "/v1/storage/prune?kind=samples"

    def samples() -> list[str]:
        return [each["name"] for each in client.get(f"/v1/training-jobs/{job_id}/samples").get_json()["data"]]

    shown = client.post(f"{url}&dry_run=true").get_json()
    assert [(job["id"], job["files"], job["size"]) for job in shown["jobs"]] == [(job_id, 2, 3)]
    assert len(samples()) == 3
    assert client.post(f"{url}&status=failed").get_json()["jobs"] == []
    assert client.post(f"{url}&older_than_days=32").get_json()["jobs"] == []
    assert client.post(url).get_json()["size"] == 3
    assert samples() == ["epoch-0003.png"]
    assert client.post("/v1/storage/prune?kind=checkpoints&keep_last=0").get_json()["jobs"] == []
    assert client.get(f"/v1/training-jobs/{job_id}").get_json()["model"] is not None
    assert client.post(f"{url}&keep_last=0").get_json()["jobs"][0]["files"] == 1
    assert samples() == []


def test_prune_with_an_unknown_kind_or_status_names_the_parameter(client: FlaskClient) -> None:
    for parameter in ("kind=models", "status=done", "keep_last=-1"):
        response = client.post(f"/v1/storage/prune?{parameter}")
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["pointer"] == f"?{parameter.partition('=')[0]}"
