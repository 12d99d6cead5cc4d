"""Finds due deliveries and sends them, a limited number at a time and few to one host.

Several processes may run it: each delivery is claimed before it is sent. A process that ends while it sends leaves the
claim, which expires; the delivery is then sent again with the same id. Each is thus sent at least once.
"""

import threading
from collections import Counter

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.db.session import SessionFactory, is_transient, read_connection, transaction
from shared.services import webhook_deliveries
from shared.services.webhook_deliveries import Claimed, Outcome
from shared.settings import Settings
from worker.webhooks.sending import send

log = structlog.get_logger(__name__)

_AT_ONCE = 16
_PER_HOST = 4


class WebhookDispatcher:
    """One round at a time; `run` repeats them. Each delivery has a thread, so a slow receiver delays no other host."""

    def __init__(self, settings: Settings, sessions: SessionFactory) -> None:
        self._settings, self._sessions = settings, sessions
        self._lock = threading.Lock()
        self._sending: Counter[str] = Counter()
        self._woken = threading.Event()

    def run(self, stopping: threading.Event) -> None:
        """Repeat rounds until `stopping` is set, also during outages. Returns at once where webhooks are not set up."""
        if not self._settings.webhook_keys:
            return
        is_unavailable = False
        while not stopping.is_set():
            self._woken.clear()
            try:
                self.round()
                is_unavailable = False
            except SQLAlchemyError as error:
                if not is_transient(error):
                    log.exception("webhooks not sent")
                elif not is_unavailable:
                    log.warning("database unavailable; sending webhooks later", reason=str(error))
                is_unavailable = True
                stopping.wait(self._settings.reconcile_s)
            self._woken.wait(self._settings.reconcile_s)

    def round(self) -> int:
        """Start the deliveries that are due; returns their number."""
        with read_connection(self._sessions) as connection:
            if not webhook_deliveries.is_any_due(connection):
                return 0
        with self._lock:
            sending = Counter(self._sending)
        if (free := _AT_ONCE - sending.total()) <= 0:
            return 0
        with transaction(self._sessions) as session:
            found = webhook_deliveries.claim(session, free, sending, _PER_HOST)
        for claimed in found:
            with self._lock:
                self._sending[claimed.host] += 1
            threading.Thread(target=self._deliver, args=(claimed,), name="webhook", daemon=True).start()
        return len(found)

    def _deliver(self, claimed: Claimed) -> None:
        try:
            outcome = send(claimed, self._settings)
            self._log(claimed, outcome)
            with transaction(self._sessions) as session:
                webhook_deliveries.settle(session, claimed, outcome, self._settings)
        except SQLAlchemyError as error:
            # The claim expires, and the delivery is sent again.
            log.warning("end of a delivery not written", job_id=claimed.job_id, delivery=claimed.id, reason=str(error))
        except Exception:  # a thread has no caller that would report it
            log.exception("delivery failed", job_id=claimed.job_id, delivery=claimed.id)
        finally:
            with self._lock:
                self._sending[claimed.host] -= 1
            self._woken.set()

    @staticmethod
    def _log(claimed: Claimed, outcome: Outcome) -> None:
        about = {"job_id": claimed.job_id, "delivery": claimed.id, "host": claimed.host, "attempt": claimed.attempt}
        if outcome.error is None:
            log.info("webhook delivered", status=outcome.response_status, **about)
        else:
            log.warning("webhook not delivered", reason=outcome.error, **about)
