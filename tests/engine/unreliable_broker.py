"""A broker that may be down, and whose hints a test loses, doubles and takes in any order."""

from shared.broker import NullBroker
from shared.broker.null_broker import Notification


class UnreliableBroker(NullBroker):
    """Hints that wait are numbered from 0, oldest first."""

    @property
    def waiting(self) -> list[Notification]:
        """Every hint that waits."""
        return list(self._waiting)

    def take_number(self, number: int) -> Notification:
        """Deliver a hint, whether it is the next or not."""
        return self._waiting.pop(number)

    def double(self, number: int) -> None:
        """Deliver a hint twice."""
        self._waiting.append(self._waiting[number])
