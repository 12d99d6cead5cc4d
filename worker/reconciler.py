"""`python -m worker.reconciler`: repairs the queue after crashes and lost messages. Several may run at once.

Each round ends attempts with an expired lease and repeats notifications that may be lost. A sweeper runs in a second
thread and removes files without a row. A third one imports the ready-made models at the first start, a fourth one
keeps the counters of `/metrics`, further ones send webhooks.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from types import FrameType

import structlog
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from shared import logs
from shared.broker import Broker, CeleryBroker
from shared.db.session import (
    SessionFactory,
    is_transient,
    make_engine,
    read_connection,
    reading,
    session_factory,
    transaction,
)
from shared.db.tables import Job
from shared.errors import SetupError
from shared.failpoints import failpoint
from shared.job_status import QUEUED_KINDS, JobKind, Priority
from shared.services import metric_totals, notifications, placements, preemption, queue_snapshot, reaping, workers
from shared.services.placements import IdleWorkers
from shared.services.queue_snapshot import QueueSnapshot
from shared.settings import Settings, reason
from shared.storage import Storage
from worker.event_counter import EventCounter
from worker.ready_models import ReadyModels
from worker.sweeper import Sweeper
from worker.webhooks import WebhookDispatcher

log = structlog.get_logger(__name__)

_NOTIFICATIONS_AT_ONCE = 200
_EMPTY_QUEUE_STALE_S = 2.0
_FORGET_EVERY_S = 3600.0


class Reconciler:
    """One round at a time; `run` repeats them.

    It reaps only after one lease of uninterrupted access to the database. After its own start, an outage, a suspension
    of the machine or a change of the clock, heartbeats may be old although the workers are alive.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: SessionFactory,
        broker: Broker,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._sessions, self._broker = settings, sessions, broker
        self._monotonic = monotonic
        self._is_database_unavailable = False
        self._last_round = self._monotonic()
        self._reap_from = self._last_round + settings.lease_s
        self._ahead_s: float | None = None
        self._forget_at = self._record_at = self._last_round

    def run(self, stopping: threading.Event) -> None:
        """Repeat rounds until `stopping` is set, also during outages."""
        while not stopping.is_set():
            self.round()
            stopping.wait(self._settings.reconcile_s)

    def round(self) -> None:
        """Reap, preempt, then notify. An outage of the database is logged once."""
        now = self._monotonic()
        if now - self._last_round > self._settings.lease_s / 2:
            self._wait_a_lease("this process was stopped for a while")
        try:
            # Most rounds find nothing to do: that takes one read, and no transaction that would block others.
            snapshot = self._take_snapshot()
            self._check_clock(snapshot.now)
            if snapshot.has_expired and self._monotonic() >= self._reap_from:
                self._reap()
                snapshot = self._take_snapshot()
            if snapshot.due[JobKind.TRAINING]:
                self._preempt()
            for kind in QUEUED_KINDS:
                self._notify(kind, snapshot.due[kind])
            self._forget(now)
            self._record(now)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            if not self._is_database_unavailable:
                log.warning("database unavailable", reason=str(error))
            self._is_database_unavailable = True
        self._last_round = self._monotonic()  # a wait for the database does not count as a suspension

    def _take_snapshot(self) -> QueueSnapshot:
        with read_connection(self._sessions) as connection:
            return queue_snapshot.take_snapshot(connection, self._settings)

    def _check_clock(self, now: datetime) -> None:
        """Detect the end of an outage, and a jump of the database's clock relative to the monotonic clock.

        The monotonic clock stops while the machine is suspended.
        """
        ahead_s = now.timestamp() - self._monotonic()
        before_s, self._ahead_s = self._ahead_s, ahead_s
        if self._is_database_unavailable:
            self._is_database_unavailable = False
            self._wait_a_lease("the database was unavailable")
        elif before_s is not None and abs(ahead_s - before_s) > self._settings.lease_s / 2:
            self._wait_a_lease(f"the database's clock has jumped by {ahead_s - before_s:.1f} s")

    def _wait_a_lease(self, reason: str) -> None:
        log.info("reaping paused for one lease", reason=reason)
        self._reap_from = self._monotonic() + self._settings.lease_s

    def _reap(self) -> None:
        with transaction(self._sessions) as session:
            reaped = reaping.reap_expired(session, self._settings)
        failpoint("reap.committed")
        for job_id in reaped:
            with reading(self._sessions) as session:
                job = session.get(Job, job_id)
            if job is not None:
                log.warning("job reaped", job_id=job_id, attempt=job.attempt, status=job.status.value)
                if job.status.is_terminal:
                    self._broker.publish_done(job_id)

    def _preempt(self) -> None:
        with read_connection(self._sessions) as connection:
            if not preemption.is_possible(connection, self._settings):
                return
        with transaction(self._sessions) as session:
            job_id = preemption.preempt(session, self._settings)
        if job_id is not None:
            log.info("job preempted", job_id=job_id)

    def _notify(self, kind: JobKind, due: int) -> None:
        """Send notifications for due jobs whose own is missing or stale, at most as many as Redis lacks.

        due: number of jobs of the kind that a worker could claim.
        """
        depth = self._broker.depth(kind) if due else None
        if depth is None or due <= depth:
            return
        stale_s = (
            self._settings.notification_stale_s
            if depth
            else min(_EMPTY_QUEUE_STALE_S, self._settings.notification_stale_s)
        )
        limit = min(due - depth, _NOTIFICATIONS_AT_ONCE)
        with reading(self._sessions) as session:
            idle = placements.idle_workers(session, self._settings) if kind is JobKind.TRAINING else None
            if idle is None:
                unnotified = notifications.due_for_notification(session, kind, stale_s=stale_s, limit=limit)
            else:
                unnotified = self._placed(session, idle, stale_s=stale_s, limit=limit)
        sent = [job_id for job_id, priority in unnotified if self._broker.send(kind, job_id, priority)]
        if sent:
            failpoint("notification.sent")
            log.info("notifications sent again", kind=kind, count=len(sent))
            with transaction(self._sessions) as session:
                notifications.mark_notified(session, sent)

    def _placed(self, session: Session, idle: IdleWorkers, *, stale_s: float, limit: int) -> list[tuple[str, Priority]]:
        """Jobs to notify about where workers differ. Idle workers take and lose the notifications of other jobs.

        So there are no more than idle workers, and one for a job that no idle worker can run.
        """
        due = partial(notifications.due_for_notification, session, JobKind.TRAINING)
        found = due(stale_s=stale_s, limit=min(limit, idle.count), met=idle.met)
        others = min(1, limit - len(found))
        return found + due(stale_s=self._settings.notification_stale_s, limit=others, not_met=idle.met)

    def _forget(self, now: float) -> None:
        if now >= self._forget_at:
            self._forget_at = now + _FORGET_EVERY_S
            with transaction(self._sessions) as session:
                workers.forget_silent(session)
            with transaction(self._sessions) as session:
                placements.prune(session)

    def _record(self, now: float) -> None:
        """Record the end of this round for `/metrics`, not more often than workers record a heartbeat."""
        if now >= self._record_at:
            self._record_at = now + self._settings.heartbeat_s
            with transaction(self._sessions) as session:
                metric_totals.record_reconciler(session)


def main() -> int:
    """Run until SIGTERM or Ctrl-C; returns the process's exit status."""
    try:
        settings = Settings()
        logs.configure(settings, "reconciler")
        engine = make_engine(settings)
        storage = Storage.open_url(settings.resolved_storage_url)
    except (SetupError, ValidationError) as error:
        print(f"mimeo: {reason(error)}", file=sys.stderr)
        return 2
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sessions = session_factory(engine)
    # In a separate thread, so that slow storage does not delay reaping. It may end at any point without loss.
    sweeper = Sweeper(settings, sessions, storage)
    threading.Thread(target=sweeper.run, args=(stopping,), name="sweeper", daemon=True).start()
    ready_models = ReadyModels(settings, sessions, storage)
    threading.Thread(target=ready_models.run, args=(stopping,), name="ready-models", daemon=True).start()
    event_counter = EventCounter(settings, sessions)
    threading.Thread(target=event_counter.run, args=(stopping,), name="event-counter", daemon=True).start()
    webhooks = WebhookDispatcher(settings, sessions)
    threading.Thread(target=webhooks.run, args=(stopping,), name="webhooks", daemon=True).start()
    log.info("reconciler ready")
    Reconciler(settings, sessions, CeleryBroker(settings)).run(stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main())
