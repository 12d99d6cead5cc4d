"""A process with a wrong wall clock. Import this, and call `shift`, before any module that may keep a clock."""

import datetime as dt
import time

REAL_TIME, REAL_TIME_NS = time.time, time.time_ns
_REAL_DATETIME = dt.datetime


def shift(seconds: float) -> None:
    """Shift `time.time`, `time.time_ns` and `datetime.now` of this process by `seconds`."""

    class ShiftedType(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _REAL_DATETIME)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, _REAL_DATETIME)

    class Shifted(_REAL_DATETIME, metaclass=ShiftedType):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return _REAL_DATETIME.fromtimestamp(REAL_TIME() + seconds, tz)

    time.time = lambda: REAL_TIME() + seconds
    time.time_ns = lambda: REAL_TIME_NS() + round(seconds * 1e9)
    dt.datetime = Shifted  # type: ignore[misc]
