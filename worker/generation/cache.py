"""A cache between requests, bounded by bytes. The least recently used value is removed first."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class WarmCache(Generic[T]):
    """Values by key, together at most `capacity` bytes. A larger value is returned and not kept."""

    def __init__(self, capacity: int, size: Callable[[T], int]) -> None:
        self._values: LRUCache[str, T] = LRUCache(capacity, getsizeof=size)
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    @property
    def bytes_used(self) -> int:
        """Bytes of the values that are kept."""
        return int(self._values.currsize)

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The value of a key, made if it is missing. Two threads that miss at once both make it; one value is kept."""
        with self._lock:
            if key in self._values:
                return self._values[key]
        value = make()
        if self._values.getsizeof(value) > self._values.maxsize:
            return value
        with self._lock:
            return self._values.setdefault(key, value)
