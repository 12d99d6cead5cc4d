"""A broker that may be down, and whose notifications a test loses, doubles and delivers in any order."""

from shared.broker import NullBroker
from shared.broker.null_broker import Notification


class UnreliableBroker(NullBroker):
    """Queued notifications are numbered from 0, oldest first."""

    @property
    def waiting(self) -> list[Notification]:
        """All queued notifications."""
        return list(self._waiting)

    def take_number(self, number: int) -> Notification:
        """Deliver a notification at any place of the queue."""
        return self._waiting.pop(number)

    def double(self, number: int) -> None:
        """Deliver a notification twice."""
        self._waiting.append(self._waiting[number])
