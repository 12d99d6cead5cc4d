"""How Mimeo's own loops are compiled (Numba)."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

# Contracted to fused multiply-adds, but never reordered: sums come out the same whatever surrounds them.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep the code on the disk where there is a place for it.

    What a compiled function calls has to be in a file named `…_kernels.py` beside this one: kept code is used as long
    as none of them has changed.
    """
    config.CACHE_LOCATOR_CLASSES = _LOCATORS  # type: ignore[attr-defined]  # the library says less than it has
    try:
        return njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither beside the file nor in the user's cache may anything be written
        return njit(**_OPTIONS)(function)  # type: ignore[no-any-return]


def _stamp() -> bytes:
    """Of all that kept code may have been made from. Numba itself looks at the function's own file alone."""
    folder = Path(__file__).parent
    return b"".join(
        hashlib.sha256(path.read_bytes()).digest() for path in [Path(__file__), *sorted(folder.glob("*_kernels.py"))]
    )


class _Stamped:
    _sources = _stamp()

    def get_source_stamp(self) -> bytes:
        """What has to be as it was for kept code to be used."""
        return self._sources


class Given(_Stamped, UserProvidedCacheLocator):
    """The folder that NUMBA_CACHE_DIR names."""


class BesideTheSource(_Stamped, InTreeCacheLocator):
    """`__pycache__`."""


class OfTheUser(_Stamped, UserWideCacheLocator):
    """The user's cache."""


_LOCATORS = ",".join(f"{kind.__module__}.{kind.__name__}" for kind in (Given, BesideTheSource, OfTheUser))
