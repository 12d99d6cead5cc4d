"""A broker that may be down, and whose notifications a test loses, doubles and takes in any order."""

from shared.broker import NullBroker
from shared.broker.null_broker import Notification


class UnreliableBroker(NullBroker):
    """Waiting notifications are numbered from 0, oldest first."""

    @property
    def waiting(self) -> list[Notification]:
        """Every waiting notification."""
        return list(self._waiting)

    def take_number(self, number: int) -> Notification:
        """Deliver a notification, whether it is the next or not."""
        return self._waiting.pop(number)

    def double(self, number: int) -> None:
        """Deliver a notification twice."""
        self._waiting.append(self._waiting[number])
