"""Counts the events of the jobs' histories for `/metrics`, in a thread of the reconciler."""

import threading

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import SessionFactory, is_transient, reading, transaction
from shared.services import metric_totals
from shared.settings import Settings

log = structlog.get_logger(__name__)

_RECONCILER_ROUNDS = 5  # between two rounds


class EventCounter:
    """One round at a time; `run` repeats them. Several may run at once."""

    def __init__(
        self, settings: Settings, sessions: SessionFactory, *, settle_ms: int = metric_totals.SETTLE_MS
    ) -> None:
        self._settings, self._sessions, self._settle_ms = settings, sessions, settle_ms

    def run(self, stopping: threading.Event) -> None:
        """Repeat rounds until `stopping` is set. A round that failed is repeated at its next time."""
        is_unavailable = False
        while not stopping.wait(_RECONCILER_ROUNDS * self._settings.reconcile_s):
            try:
                self.round(stopping)
                is_unavailable = False
            except SQLAlchemyError as error:
                if not is_transient(error):
                    log.exception("events not counted")
                elif not is_unavailable:
                    log.warning("database unavailable; counting events later", reason=str(error))
                is_unavailable = True

    def round(self, stopping: threading.Event | None = None) -> None:
        """Count all events that are due, in transactions of bounded size. Most rounds only read."""
        while not (stopping and stopping.is_set()):
            with reading(self._sessions) as session:
                if not metric_totals.is_any_new(session, settle_ms=self._settle_ms):
                    return
            with transaction(self._sessions) as session:
                metric_totals.count_new(session, settle_ms=self._settle_ms)
