"""The state of the queue that the reconciler reads every second."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, exists, func, select

from shared.db.clock import db_now
from shared.db.tables import Job
from shared.job_status import QUEUED_KINDS, JobKind
from shared.services.queue_order import is_due
from shared.services.reaping import HAS_EXPIRED, lease
from shared.settings import Settings


@dataclass(frozen=True, kw_only=True)
class QueueSnapshot:
    """The result of one read.

    now: by the database's clock. has_expired: whether any lease has expired. due: number of due jobs of each kind.
    """

    now: datetime
    has_expired: bool
    due: dict[JobKind, int]


# One statement, built once.
_SNAPSHOT = select(
    db_now(),
    exists(select(Job.id).where(HAS_EXPIRED)),
    *(select(func.count()).where(Job.kind == kind, is_due()).scalar_subquery() for kind in QUEUED_KINDS),
)


def take_snapshot(connection: Connection, settings: Settings) -> QueueSnapshot:
    """Read the state of the queue."""
    now, has_expired, *counts = connection.execute(_SNAPSHOT, lease(settings)).one()
    return QueueSnapshot(now=now, has_expired=bool(has_expired), due=dict(zip(QUEUED_KINDS, counts, strict=True)))
