"""The model cache has a bound in bytes."""

from hypothesis import given
from hypothesis import strategies as st

from worker.generation.cache import WarmCache


def make_cache(capacity: int) -> WarmCache[bytes]:
    return WarmCache(capacity, len)


def test_least_recently_used_model_is_evicted() -> None:
    cache = make_cache(20)
    made: list[str] = []

    def get(key: str) -> None:
        def make() -> bytes:
            made.append(key)
            return bytes(10)

        cache.get(key, make)

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]


def test_model_larger_than_the_cache_is_returned_and_not_cached() -> None:
    cache = make_cache(5)
    assert cache.get("small", lambda: b"123") == b"123"
    assert cache.get("large", lambda: bytes(6)) == bytes(6)
    assert len(cache) == 1
    assert cache.get("small", lambda: b"made again") == b"123"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 12)), max_size=60))
def test_cache_never_exceeds_its_bound(requests: list[tuple[str, int]]) -> None:
    cache = make_cache(20)
    for key, size in requests:
        cache.get(key, lambda size=size: bytes(size))  # type: ignore[misc]
        assert 0 <= cache.bytes_used <= 20
