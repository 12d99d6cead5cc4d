"""Notifications between processes.

Notifications are not needed for correctness: the database is the truth, and the reconciler repeats lost ones.
"""

from shared.broker.celery_broker import CeleryBroker
from shared.broker.live_messages import LiveMessage
from shared.broker.null_broker import NullBroker
from shared.broker.protocol import Broker, Waiter

__all__ = ["Broker", "CeleryBroker", "LiveMessage", "NullBroker", "Waiter"]
