"""Jobs that a worker held when the backup was made: in the restored stack they wait, without the loss of an attempt."""

import time
from dataclasses import dataclass, field
from typing import Any

from shared.job_status import JobStatus

Row = dict[str, Any]
S = JobStatus
_AFTER = {S.RUNNING: S.QUEUED, S.PAUSING: S.PAUSED, S.CANCELLING: S.CANCELLED}
_MESSAGES = {
    S.QUEUED: "Restored from a backup that was made during the attempt; queued again.",
    S.PAUSED: "Restored from a backup; paused, as requested.",
    S.CANCELLED: "Restored from a backup; cancelled, as requested.",
}
_EVENTS = {S.QUEUED: "released", S.PAUSED: "paused", S.CANCELLED: "cancelled"}


@dataclass
class Events:
    """Lines for the history of the changed jobs."""

    rows: list[Row] = field(default_factory=list)


def changed(row: Row, events: Events) -> Row:
    """A job of a backup as it is restored. Its worker is gone, and no notification of it is left."""
    after = _AFTER.get(S(row["status"]))
    row = row | {"worker": None, "heartbeat_at": None, "notified_at": None}
    if after is None:
        return row
    now = round(time.time() * 1000)
    attempt = row["attempt"] if after is S.CANCELLED else max(0, row["attempt"] - 1)
    events.rows.append(
        {
            "job_id": row["id"],
            "type": _EVENTS[after],
            "attempt": row["attempt"],
            "message": _MESSAGES[after],
            "data": {},
            "created_at": now,
        }
    )
    row |= {"status": after.value, "attempt": attempt, "not_before": None, "updated_at": now}
    row["version"] += 1
    row |= {name: None for name in ("claimed_at", "preempted_by") if name in row}  # not in earlier revisions
    return row | ({"finished_at": now} if after is S.CANCELLED else {})
