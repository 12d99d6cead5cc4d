"""A job's history: its events with attempt and reason."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from shared.db.tables import JobEvent, table_of
from shared.services import webhook_outbox

_MAX_MESSAGE = 4_000  # characters
_ADD = insert(table_of(JobEvent))  # built once: its construction takes longer than its execution


def add(
    session: Session, job_id: str, *, event: str, message: str, attempt: int, data: Mapping[str, Any] | None = None
) -> None:
    """Append one line to a job's history."""
    shown = message if len(message) <= _MAX_MESSAGE else f"{message[:_MAX_MESSAGE]} …"
    line: dict[str, Any] = {
        "job_id": job_id,
        "type": event,
        "message": shown,
        "attempt": attempt,
        "data": dict(data or {}),
    }
    session.execute(_ADD, line)
    webhook_outbox.record(session, [job_id], event, line["data"])


def add_all(
    session: Session, attempts: Mapping[str, int], *, event: str, message: str, data: Mapping[str, Any]
) -> None:
    """Append the same line to the history of several jobs. attempts: of each job, by id."""
    line = {"type": event, "message": message, "data": dict(data)}
    if attempts:
        session.execute(_ADD, [{**line, "job_id": job_id, "attempt": attempt} for job_id, attempt in attempts.items()])
        webhook_outbox.record(session, list(attempts), event, data)


def is_known_at(session: Session, job_id: str, *, event: str, step: int) -> bool:
    """Whether a job's history holds an event of this type whose data names this step."""
    known = session.scalars(select(JobEvent.data).where(JobEvent.job_id == job_id, JobEvent.type == event))
    return any(data.get("step") == step for data in known)


def list_for_job(session: Session, job_id: str, *, after: int = 0, limit: int = 100) -> tuple[list[JobEvent], bool]:
    """Events with an id above `after`, oldest first, and whether there are more."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.id > after).order_by(JobEvent.id)
    rows = list(session.scalars(query.limit(limit + 1)))
    return rows[:limit], len(rows) > limit
