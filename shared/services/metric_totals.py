"""Counters for `/metrics` that outlive processes: a reconciler counts each event of the jobs' histories once.

The counters advance under the lock of the cursor, the id of the last counted event. An event is counted when it is
older than `SETTLE_MS`, because transactions commit in another order than their ids were given. Events whose job is
deleted before that are not counted.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, case, func, select
from sqlalchemy.orm import Session, aliased

from shared.db.clock import db_now
from shared.db.tables import JobEvent, MetricTotal
from shared.db.upsert import add_missing, upsert
from shared.ids import is_id
from shared.job_status import ErrorCode, JobKind

WAIT_BOUNDS_S = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)  # buckets of the time in the queue
SUBMITTED, STARTED, ENDED = "submitted", "started", "ended"
RETRIED, RELEASED, LEASES_LOST = "retried", "released", "leases_lost"
WAITS, WAIT_MS = "waits", "wait_ms"  # by the index of the bucket; the sum
NO_CODE = ""

SETTLE_MS = 10_000
_AT_ONCE = 2_000
_CURSOR = ("event_cursor", "", "")
_RECONCILER = ("reconciler_pass", "", "")
_KINDS = {"trn": JobKind.TRAINING, "gen": JobKind.GENERATION}
# Counters that an event adds one to.
_PLAIN = {
    "queued": SUBMITTED,
    "running": STARTED,
    "released": RELEASED,
    "preempted": RELEASED,
    "reaped": LEASES_LOST,
}
_QUEUEING = (
    "queued",
    "retrying",
    "smaller_batches",
    "reaped",
    "released",
    "preempted",
    "resumed",
    "retried",
)  # events before which a job waits
_ENDS = ("succeeded", "failed", "cancelled")
Key = tuple[str, str, str]  # name, kind, label


def is_any_new(session: Session, *, settle_ms: int = SETTLE_MS) -> bool:
    """Whether an event can be counted. Reads only."""
    newest = select(MetricTotal.value).where(*_is(_CURSOR)).scalar_subquery()
    new = select(JobEvent.created_at, db_now()).where(JobEvent.id > func.coalesce(newest, 0)).order_by(JobEvent.id)
    first = session.execute(new.limit(1)).one_or_none()
    return first is not None and not _is_fresh(*first, settle_ms)


def count_new(session: Session, *, settle_ms: int = SETTLE_MS) -> int:
    """Count the next events; returns their number, at most 2,000. Several processes may call it at once."""
    add_missing(session, MetricTotal, [_row(_CURSOR, 0)], written_at="updated_at")
    cursor = session.execute(select(MetricTotal.value).where(*_is(_CURSOR)).with_for_update()).scalar_one()
    counted: Counter[Key] = Counter()
    events = 0
    for row in session.execute(_new_events(cursor)):
        if _is_fresh(row.created_at, row.now, settle_ms):
            break
        counted.update(_increments(row))
        cursor, events = row.id, events + 1
    if events:
        known = totals(session)
        new = {key: known.get(key, 0) + count for key, count in counted.items()} | {_CURSOR: cursor}
        _write(session, new)
    return events


def totals(session: Session) -> dict[Key, int]:
    """All counters, by name, kind and label."""
    rows = session.execute(select(MetricTotal.name, MetricTotal.kind, MetricTotal.label, MetricTotal.value))
    return {(name, kind, label): value for name, kind, label, value in rows}


def record_reconciler(session: Session) -> None:
    """Record that a reconciler has ended a round."""
    _write(session, {_RECONCILER: 0})


def reconciler_age_s(session: Session) -> float | None:
    """Seconds since a reconciler has recorded a round, by the database's clock; None if none ever has."""
    row = session.execute(select(MetricTotal.updated_at, db_now()).where(*_is(_RECONCILER))).one_or_none()
    return None if row is None else max(0.0, (row[1] - row[0]).total_seconds())


def _is(key: Key) -> tuple[Any, ...]:
    return (MetricTotal.name == key[0], MetricTotal.kind == key[1], MetricTotal.label == key[2])


def _row(key: Key, value: int) -> dict[str, Any]:
    name, kind, label = key
    return {"name": name, "kind": kind, "label": label, "value": value}


def _write(session: Session, values: Mapping[Key, int]) -> None:
    rows = [
        {"name": name, "kind": kind, "label": label, "value": value} for (name, kind, label), value in values.items()
    ]
    upsert(session, MetricTotal, rows, key=("name", "kind", "label"), written_at="updated_at")


def _is_fresh(created_at: datetime, now: datetime, settle_ms: int) -> bool:
    """Whether an earlier event may not be committed yet. One of the future is from before a change of the clock."""
    return 0 <= (now - created_at).total_seconds() * 1000 < settle_ms


def _new_events(cursor: int) -> Any:
    """The events after the cursor; with each claim the event that had queued the job."""
    earlier, queueing = aliased(JobEvent), aliased(JobEvent)
    latest = select(func.max(earlier.id)).where(
        earlier.job_id == JobEvent.job_id, earlier.id < JobEvent.id, earlier.type.in_(_QUEUEING)
    )
    is_of_claim = queueing.id == case((JobEvent.type == "running", latest.scalar_subquery()))
    columns = (JobEvent.id, JobEvent.job_id, JobEvent.type, JobEvent.data, JobEvent.created_at, db_now().label("now"))
    query = select(*columns, queueing.created_at.label("queued_at"), queueing.data.label("queueing"))
    page = query.outerjoin(queueing, is_of_claim).where(JobEvent.id > cursor)
    return page.order_by(JobEvent.id).limit(_AT_ONCE)


def _increments(row: Row[Any]) -> dict[Key, int]:
    """What one event adds."""
    if not is_id(row.job_id, "trn", "gen"):
        return {}
    kind, data = _KINDS[row.job_id[:3]], row.data or {}
    found: dict[Key, int] = {(_PLAIN[row.type], kind, ""): 1} if row.type in _PLAIN else {}
    if row.type == "running":
        found |= _wait(kind, row)
    elif row.type in {"retrying", "smaller_batches"}:
        found[RETRIED, kind, _code(data.get("error"))] = 1
    elif row.type == "reaped" and data.get("status") in _ENDS:
        found[ENDED, kind, _end(data["status"], ErrorCode.WORKER_LOST)] = 1
    elif row.type in _ENDS:
        found[ENDED, kind, _end(row.type, data.get("code"))] = 1
    return found


def _wait(kind: JobKind, row: Row[Any]) -> dict[Key, int]:
    """The time from when the job was due to the claim. A back-off is no waiting time."""
    if row.queued_at is None:
        return {}
    waited = (row.created_at - row.queued_at).total_seconds() - (row.queueing or {}).get("backoff_ms", 0) / 1000
    waited_s = max(0.0, waited)
    return {(WAITS, kind, str(bisect_left(WAIT_BOUNDS_S, waited_s))): 1, (WAIT_MS, kind, ""): round(1000 * waited_s)}


def _code(error: Any) -> str:
    return str(error.get("code", NO_CODE))[:32] if isinstance(error, Mapping) else NO_CODE


def _end(status: Any, code: Any) -> str:
    """The label of an end: the status, and of a failure its code."""
    return f"failed:{str(code or NO_CODE)[:32]}" if status == "failed" else str(status)
