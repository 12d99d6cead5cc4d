"""What stays in memory between requests, least recently used first out, bounded by bytes."""

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class WarmCache(Generic[T]):
    """Values by key, together at most `capacity` bytes. A value larger than that is made and not kept."""

    def __init__(self, capacity: int, size: Callable[[T], int]) -> None:
        self._capacity, self._size = capacity, size
        self._values: OrderedDict[str, tuple[T, int]] = OrderedDict()
        self._lock = Lock()
        self.bytes_used = 0

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not here. Two threads that miss at once both make it; one stays."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()
        self._keep(key, value)
        return value

    def _keep(self, key: str, value: T) -> None:
        size = self._size(value)
        with self._lock:
            if size > self._capacity or key in self._values:
                return
            while self.bytes_used + size > self._capacity:
                _, (_, freed) = self._values.popitem(last=False)
                self.bytes_used -= freed
            self._values[key] = (value, size)
            self.bytes_used += size
