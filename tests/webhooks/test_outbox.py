"""The events that are recorded for delivery, in the transaction of the transition."""

import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import WebhookDelivery
from shared.errors import JobFailure, SpecError
from shared.job_status import ErrorCode, JobKind, JobStatus
from shared.services import job_queue, reaping, transitions
from shared.settings import Settings
from tests import jobs

URL = "http://127.0.0.1:9/hook"
ALL = ["running", "paused", "succeeded", "failed", "cancelled"]


def recorded(database: SessionFactory) -> list[dict[str, Any]]:
    with reading(database) as session:
        return [
            json.loads(body) for body in session.scalars(select(WebhookDelivery.payload).order_by(WebhookDelivery.id))
        ]


def types(database: SessionFactory) -> list[str]:
    return [body["type"] for body in recorded(database)]


def test_events_that_the_webhook_asks_for_are_recorded(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, webhook={"url": URL, "events": ALL}, name="é", metadata={"run": "7"})
    with transaction(database) as session:
        job_queue.finish_succeeded(job_queue.renew_lease(session, lease))

    running, succeeded = recorded(database)

    assert [running["type"], succeeded["type"]] == ["training_job.running", "training_job.succeeded"]
    data = succeeded["data"]
    assert (data["id"], data["status"], data["name"], data["metadata"]) == (
        lease.job_id,
        "succeeded",
        "é",
        {"run": "7"},
    )
    assert succeeded["timestamp"].endswith("Z")
    assert data["finished_at"] is not None
    assert data["error"] is None


def test_other_events_and_other_jobs_are_not_recorded(database: SessionFactory, settings: Settings) -> None:
    lease = jobs.running(database, settings, webhook={"url": URL, "events": ["failed"]})
    with transaction(database) as session:
        job_queue.finish_succeeded(job_queue.renew_lease(session, lease))
    jobs.cancel(database, jobs.submitted(database, settings))
    assert types(database) == []


def test_every_way_to_an_end_is_recorded_once(database: SessionFactory, settings: Settings) -> None:
    webhook = {"url": URL}
    failing = jobs.running(database, settings, webhook=webhook)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, failing)
        job_queue.finish_failed(fenced, JobFailure(ErrorCode.DIVERGED, "Diverged."), settings)
    lost = jobs.running(database, settings, webhook=webhook, max_attempts=1)
    heartbeat_at = jobs.read_job(database, lost.job_id).heartbeat_at
    assert heartbeat_at is not None
    jobs.set_values(database, lost.job_id, heartbeat_at=heartbeat_at - timedelta(hours=1))
    with transaction(database) as session:
        reaping.reap_expired(session, settings)
    jobs.cancel(database, jobs.submitted(database, settings, webhook=webhook))
    several = [jobs.submitted(database, settings, webhook=webhook) for _ in range(2)]
    with transaction(database) as session:
        transitions.cancel_all(session, JobKind.TRAINING, JobStatus.QUEUED, after="", until="trn_zzz", among=several)

    found = recorded(database)

    assert [body["type"].removeprefix("training_job.") for body in found] == ["failed", "failed", *["cancelled"] * 3]
    assert [body["data"]["error"]["code"] for body in found[:2]] == ["diverged", "worker_lost"]


def test_a_transition_that_is_rolled_back_leaves_no_delivery(database: SessionFactory, settings: Settings) -> None:
    job_id = jobs.submitted(database, settings, webhook={"url": URL})
    with transaction(database) as session:
        transitions.cancel(session, job_id)
        session.rollback()
    assert types(database) == []


def test_webhook_is_refused_without_a_secret_and_for_a_private_address(
    database: SessionFactory, settings: Settings
) -> None:
    without = Settings(home=settings.home)
    with pytest.raises(SpecError, match="MIMEO_WEBHOOK_SECRET"):
        jobs.submitted(database, without, webhook={"url": URL})
    with pytest.raises(SpecError, match="not public"):
        jobs.submitted(database, settings, webhook={"url": "http://169.254.169.254/latest"})
    for bad in ("ftp://x.org/", "http://user:password@x.org/", "x"):
        with pytest.raises(SpecError) as refused:
            jobs.submitted(database, settings, webhook={"url": bad})
        assert [error.pointer for error in refused.value.errors] == ["/webhook/url"]
