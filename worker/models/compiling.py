"""How Mimeo's own loops are compiled (Numba)."""

from collections.abc import Callable
from typing import Any

from numba import njit

# Contracted to fused multiply-adds, but never reordered: sums come out the same whatever surrounds them.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call, and keep the code on the disk where there is a place for it.

    Whether kept code is still right Numba tells from the file that the function is in: what a compiled function calls
    has to be in the same file.
    """
    try:
        return njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither beside the file nor in the user's cache may anything be written
        return njit(**_OPTIONS)(function)  # type: ignore[no-any-return]
