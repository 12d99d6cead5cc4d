"""Notifications where workers differ: a worker may receive the notification of a job that only another can run."""

import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import is_transient, reading
from shared.services import placements
from worker.context import WorkerContext
from worker.tasks.claim import ability_of

log = structlog.get_logger(__name__)

# Between two that this worker passes on. The pause doubles while the job is the same: the row of a dead worker looks
# idle, and so does that of a worker whose device has no room.
_SHORTEST_S, _LONGEST_S = 0.2, 15.0


class NotificationRelay:
    """Passes a notification on that this worker has no use for, so that an idle worker with a use for it wakes up.

    The worker that it reaches may be a third one, which passes it on in turn. In a stack whose jobs have no placement
    it does nothing but read that.
    """

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._next_at, self._pause_s = 0.0, _SHORTEST_S
        self._job_id: str | None = None  # passed on last

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
        wait_s = max(0.0, self._next_at - time.monotonic())
        if ability is None or wait_s > _SHORTEST_S or context.stopping.wait(wait_s):
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
            job_id, priority = found
            self._pause_s = min(2 * self._pause_s, _LONGEST_S) if job_id == self._job_id else _SHORTEST_S
            self._job_id, self._next_at = job_id, time.monotonic() + self._pause_s
            context.broker.send(context.kind, job_id, priority)
