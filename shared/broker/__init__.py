"""Notifications between processes.

Nothing here is needed for correctness: the database is the truth, and the reconciler sends again what was lost.
"""

from shared.broker.celery_broker import CeleryBroker
from shared.broker.null_broker import NullBroker
from shared.broker.protocol import Broker, Waiter

__all__ = ["Broker", "CeleryBroker", "NullBroker", "Waiter"]
