"""The call that a generation makes between the blocks of its work."""

from collections.abc import Sequence
from typing import Protocol


class BetweenBlocks(Protocol):
    """It may run other generations, and raise to end this one. No result depends on it.

    texts: the texts so far, of a generation that writes texts.
    """

    def __call__(self, texts: Sequence[str] = (), /) -> None:
        """Called after each block."""


def uninterrupted(texts: Sequence[str] = (), /) -> None:
    """Return at once: the generation runs to its end."""
