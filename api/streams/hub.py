"""Finds changed jobs once for all streams of this process, and passes them to each stream."""

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

import structlog
from flask import Flask, current_app
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.runtime import Runtime
from api.streams.changes import Change, Live, QueueState, deleted, read_change, read_queue
from api.streams.cursor import Cursor
from shared.broker import LiveMessage
from shared.db.session import is_transient
from shared.db.tables import Job
from shared.services import job_changes

log = structlog.get_logger(__name__)

EXTENSION = "mimeo_changes"
POLL_S = 0.25
LEAST_S = 0.05  # between two looks, however many notifications arrive
RETRY_S = 1.0
LINGER_S = 5.0  # the thread ends this long after the last stream
QUEUE_S = 1.0  # between two reads of the queue
GONE_S = 2.0  # between two checks that the followed jobs exist
CHECK_S = 0.5  # between two checks that a stream goes on
COMMENT_EVERY_S = 10.0
QUEUE_LENGTH = 256


@dataclass(eq=False)
class Subscription:
    """A stream's queue of changes. job_id: the one job of the stream; None: all jobs of `owner`.

    is_overrun: the queue was full and changes were dropped; the client has to read the state again.
    """

    job_id: str | None
    owner: str
    changes: "queue.Queue[Change | Live]" = field(default_factory=lambda: queue.Queue(QUEUE_LENGTH))
    is_overrun: bool = False

    def wants(self, change: Change) -> bool:
        """Whether the change belongs to the stream."""
        if self.job_id is not None:
            return self.job_id == change.job_id
        return change.owner is None or change.owner == self.owner

    def put(self, change: Change) -> None:
        """Add a change, unless the queue is full."""
        try:
            self.changes.put_nowait(change)
        except queue.Full:
            self.is_overrun = True

    def put_live(self, live: Live) -> None:
        """Add an event that need not arrive, where the queue has room."""
        if self.changes.qsize() < QUEUE_LENGTH // 2:
            with suppress(queue.Full):
                self.changes.put_nowait(live)

    def take(self, timeout_s: float) -> Change | Live | None:
        """The next change; None after `timeout_s` seconds without one."""
        try:
            return self.changes.get(timeout=timeout_s)
        except queue.Empty:
            return None


def changes(subscription: Subscription, is_over: Callable[[], bool]) -> Iterator[Change | Live | None]:
    """The changes of a subscription, and None after each ten seconds without one.

    Ends where the queue was overrun, or within a second after `is_over`.
    """
    quiet_since = time.monotonic()
    while not (subscription.is_overrun or is_over()):
        change = subscription.take(CHECK_S)
        if change is not None or time.monotonic() - quiet_since >= COMMENT_EVERY_S:
            quiet_since = time.monotonic()
            yield change


class ChangeHub:
    """One thread that finds changed jobs while a stream is open."""

    def __init__(self, app: Flask, runtime: Runtime) -> None:
        self._app, self._runtime = app, runtime
        self._lock = threading.Lock()
        self._subscriptions: set[Subscription] = set()
        self._followers: Counter[str] = Counter()
        self._owners: dict[str, str] = {}  # of jobs with streams of their own
        self._cursors: dict[str, Cursor] = {}  # of jobs with streams of their own: up to where the hub has read
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._versions: dict[str, int] = {}
        self._since: datetime | None = None
        self._checked_at = 0.0
        self._queue_at = 0.0
        self._queue: QueueState | None = None
        self._is_closing = False

    @contextmanager
    def subscribe(self, job_id: str | None, owner: str) -> Iterator[Subscription]:
        """Receive the changes of one job, or of all jobs of an owner, until the block ends.

        Read the state inside the block: changes since the block's start are in the queue, some of them perhaps in that
        state too.
        """
        subscription = Subscription(job_id, owner)
        with self._lock:
            if job_id is not None:
                if job_id not in self._cursors:
                    with self._runtime.reading() as session:
                        self._cursors[job_id] = Cursor.newest(session, job_id)
                self._followers[job_id] += 1
                self._owners[job_id] = owner
            self._subscriptions.add(subscription)
            if self._thread is None:
                self._since = None
                self._thread = threading.Thread(target=self._run, name="changes", daemon=True)
                self._thread.start()
        try:
            yield subscription
        finally:
            with self._lock:
                self._subscriptions.discard(subscription)
                if job_id is not None:
                    self._followers[job_id] -= 1
                    if not self._followers[job_id]:
                        del self._followers[job_id], self._cursors[job_id], self._owners[job_id]

    def close(self) -> None:
        """End the thread; streams that are open end too."""
        with self._lock:
            thread, self._is_closing = self._thread, True
        self._wake.set()
        if thread is not None:
            thread.join()

    def job_deleted(self, job_id: str, owner: str) -> None:
        """Pass on that this process has deleted a job of an owner."""
        self._pass_on([deleted(job_id, owner=owner, at=datetime.now(UTC))])

    def _run(self) -> None:
        try:
            with self._runtime.broker.receiving(self._receive):
                self._look_until_idle()
        finally:
            # No stream is open here, unless the hub closes or an unexpected error occurred: then they end, and their
            # clients connect again.
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None
                    for subscription in self._subscriptions:
                        subscription.is_overrun = True

    def _receive(self, message: LiveMessage) -> None:
        """Pass on what a worker has published. Runs on the broker's thread, or on the publisher's."""
        live = Live.of(message)
        if live is None:
            self._wake.set()
            return
        with self._lock:
            for subscription in self._subscriptions:
                if subscription.job_id == live.job_id:
                    subscription.put_live(live)

    def _look_until_idle(self) -> None:
        idle_since = time.monotonic()
        while True:
            with self._lock:
                if self._is_closing:
                    return
                if self._subscriptions:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > LINGER_S:
                    self._thread = None  # the next stream starts another
                    return
            self._wake.wait(self._look_or_wait())
            self._wake.clear()
            time.sleep(LEAST_S)

    def _look_or_wait(self) -> float:
        """Look for changes. Returns the seconds until the next look."""
        try:
            self._look()
        except SQLAlchemyError as error:
            if not is_transient(error):
                log.exception("changes_not_read")
            else:
                log.warning("changes_not_read", error=str(error.__cause__ or error))
            return RETRY_S
        return POLL_S

    def _look(self) -> None:
        """Read the jobs that changed since the last look, and pass them on."""
        with self._runtime.reading() as session:
            moment = job_changes.now(session)
            versions = job_changes.changed_since(session, (self._since or moment) - job_changes.LOOK_BACK)
            new = [job_id for job_id, version in versions.items() if self._versions.get(job_id) != version]
            with self._app.app_context():
                changes = [self._read(session, job, moment) for job in job_changes.jobs(session, new)]
            changes += [*self._gone(session, moment), *self._changed_queue(session, moment)]
        self._versions = versions
        self._since = moment
        self._pass_on(changes)

    def _read(self, session: Session, job: Job, moment: datetime) -> Change:
        with self._lock:
            since = self._cursors.get(job.id)
        change = read_change(session, job, since, at=moment)
        with self._lock:
            if since is not None and job.id in self._cursors:
                self._cursors[job.id] = change.end(since)
        return change

    def _gone(self, session: Session, moment: datetime) -> list[Change]:
        """Followed jobs that another process has deleted."""
        if time.monotonic() - self._checked_at < GONE_S:
            return []
        self._checked_at = time.monotonic()
        with self._lock:
            followed = dict(self._owners)
        known = set(session.scalars(select(Job.id).where(Job.id.in_(followed)))) if followed else set()
        return [deleted(job_id, owner=owner, at=moment) for job_id, owner in followed.items() if job_id not in known]

    def _changed_queue(self, session: Session, moment: datetime) -> list[Change]:
        """The state of the queue, if it has changed and a stream of all jobs is open."""
        with self._lock:
            is_wanted = any(each.job_id is None for each in self._subscriptions)
        if not is_wanted or time.monotonic() - self._queue_at < QUEUE_S:
            return []
        self._queue_at = time.monotonic()
        known, self._queue = self._queue, read_queue(session, self._runtime.settings)
        return [Change(job_id="", at=moment, queue=self._queue)] if self._queue != known else []

    def _pass_on(self, changes: list[Change]) -> None:
        with self._lock:
            for subscription in self._subscriptions:
                for change in changes:
                    if subscription.wants(change):
                        subscription.put(change)


def install(app: Flask, runtime: Runtime) -> None:
    """Attach the hub to the application."""
    app.extensions[EXTENSION] = ChangeHub(app, runtime)


def hub() -> ChangeHub:
    """The hub of the current application."""
    return cast(ChangeHub, current_app.extensions[EXTENSION])
