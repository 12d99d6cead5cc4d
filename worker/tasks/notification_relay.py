"""Notifications where workers differ: a worker may receive the notification of a job that only another can run."""

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import is_transient, reading
from shared.services import placements
from worker.context import WorkerContext
from worker.tasks.claim import ability_of

log = structlog.get_logger(__name__)

_SHORTEST_S = 0.2  # between two that this worker passes on: the row of a dead worker looks idle


class NotificationRelay:
    """Passes a notification on that this worker has no use for, so that an idle worker with a use for it wakes up.

    The worker that it reaches may be a third one, which passes it on in turn. In a stack whose jobs have no placement
    it does nothing but read that.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._next_at = 0.0

    def is_needed(self) -> bool:
        """Whether workers may differ: after a job this worker then claims the next one without a notification.

        Other workers may have taken the notifications while this one was busy.
        """
        try:
            with reading(self._context.sessions) as session:
                return bool(placements.names(session))
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            return False

    def pass_on(self) -> None:
        """Send a notification if a job is due that this worker cannot run and an idle one can."""
        context, ability = self._context, ability_of(self._context)
        if ability is None or context.stopping.wait(max(0.0, self._next_at - time.monotonic())):
            return
        try:
            with reading(context.sessions) as session:
                found = placements.first_for_others(session, ability, context.settings, worker=context.id)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            log.warning("notification not passed on; the reconciler sends one", reason=str(error))
            return
        if found is not None:
            self._next_at = time.monotonic() + _SHORTEST_S
            context.broker.send(context.kind, *found)
