"""The row of a new job, and the first event of its history."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import insert, inspect
from sqlalchemy.orm import Session

from shared import logs, tracing
from shared.db.clock import db_now
from shared.db.owned_rows import owner_of
from shared.db.tables import Job, table_of
from shared.failpoints import failpoint
from shared.job_status import JobStatus, Priority
from shared.placement import ANYWHERE
from shared.services import job_history, placements
from shared.services.job_warnings import JobWarning

JobT = TypeVar("JobT", bound=Job)
# The caller sends the job's first notification right after the commit.
_ADD = insert(table_of(Job)).values(notified_at=db_now())


def add(
    session: Session,
    kind: type[JobT],
    *,
    id: str,  # noqa: A002 - the column's name
    model_type: str,
    spec: Mapping[str, Any],
    seed: int,
    timeout_s: int,
    max_attempts: int,
    priority: Priority = Priority.NORMAL,
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    warnings: Iterable[JobWarning] = (),
    is_quick: bool = False,
    memory_bytes: int | None = None,
    placement: str = ANYWHERE,
    preemptible: bool = False,
    webhook: Mapping[str, Any] | None = None,
    is_shared: bool = False,
) -> JobT:
    """Queue a job with a fully resolved `spec`. Send its notification after the commit.

    It belongs to the session's owner, or to all owners where `is_shared`.
    """
    owner = None if is_shared else owner_of(session)
    row = {
        "id": id,
        "owner": owner,
        "share": owner or "",
        "kind": inspect(kind).polymorphic_identity,
        "status": JobStatus.QUEUED,
        "model_type": model_type,
        "name": name,
        "spec": dict(spec),
        "metadata": dict(labels or {}),
        "priority": priority.rank,
        "seed": seed,
        "max_attempts": max_attempts,
        "timeout_s": timeout_s,
        "warnings": [asdict(warning) for warning in warnings] or None,
        "is_quick": is_quick,
        "memory_bytes": memory_bytes,
        "placement": placement,
        "request_id": logs.request_id(),
        "trace_parent": tracing.CURRENT.get(),
        "preemptible": preemptible,
        "webhook": dict(webhook) if webhook else None,
    }
    if placement != ANYWHERE:
        placements.add(session, placement)
    session.execute(_ADD, row)
    failpoint("submit.inserted")
    job_history.add(session, id, event="queued", message="Accepted.", attempt=0)
    return session.get_one(kind, id)
