"""Records the events of jobs that have a webhook, in the transaction of the event: none is lost or invented."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Job, Model, WebhookDelivery, table_of
from shared.ids import new_id
from shared.specs import WEBHOOK_EVENTS
from shared.webhooks.targets import parse

RETRY_MS = 24 * 3600 * 1000
_JOBS, _MODELS = table_of(Job), table_of(Model)
_COLUMNS = (
    "id",
    "status",
    "model_type",
    "name",
    "metadata",
    "attempt",
    "error",
    "created_at",
    "finished_at",
    "webhook",
)
# The statuses in which `reaped` leaves a job; other events have the name of the status.
_REAPED = "reaped"
_WITH_WEBHOOK = (
    select(*(_JOBS.c[name] for name in _COLUMNS), _MODELS.c.id.label("model"), db_now().label("now"))
    .select_from(_JOBS.outerjoin(_MODELS, _MODELS.c.job_id == _JOBS.c.id))
    .where(_JOBS.c.id.in_(bindparam("ids", expanding=True)), _JOBS.c.webhook.is_not(None))
)
_ADD = insert(table_of(WebhookDelivery))


def record(session: Session, job_ids: Sequence[str], event: str, data: Mapping[str, Any]) -> None:
    """Record an event of these jobs for delivery, for those of them whose webhook asks for it."""
    wanted = data.get("status") if event == _REAPED else event
    if wanted not in WEBHOOK_EVENTS:
        return
    jobs = session.execute(_WITH_WEBHOOK, {"ids": list(job_ids)}).mappings()
    rows = [_delivery(job, str(wanted)) for job in jobs if wanted in job["webhook"]["events"]]
    if rows:
        session.execute(_ADD, rows)


def _delivery(job: Mapping[Any, Any], event: str) -> dict[str, Any]:
    now: datetime = job["now"]
    kind = "generation_job" if job["id"].startswith("gen_") else "training_job"
    content = {
        name: job[name] for name in ("id", "status", "model_type", "name", "metadata", "attempt", "error", "model")
    }
    times = {name: _rfc3339(job[name]) for name in ("created_at", "finished_at")}
    body = {"type": f"{kind}.{event}", "timestamp": _rfc3339(now), "data": {"object": kind, **content, **times}}
    moment = round(now.timestamp() * 1000)
    return {
        "id": new_id("whd"),
        "job_id": job["id"],
        "event": event,
        "payload": json.dumps(body, ensure_ascii=False, separators=(",", ":")),
        "host": parse(job["webhook"]["url"]).host,
        "next_attempt_at": moment,
        "retry_until": moment + RETRY_MS,
    }


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
