"""An implementation in the comparison. A further row is an entry in a tuple of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import Case


class LeftOutError(Exception):
    """An implementation skips a case. The message is the reason, which its row shows."""


@dataclass(frozen=True, kw_only=True)
class BenchContext:
    """The context of all implementations: data, a folder for files, and the number of threads of each."""

    data: BenchData
    folder: Path
    threads: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """An implementation with its model built for a case.

    run: makes n calls of the case and returns the seconds they took. about: a note for the row, such as a precision.
    parameters: trainable ones, None where nothing was trained. close: frees the model.
    """

    run: Callable[[int], float]
    about: str = ""
    parameters: int | None = None
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One row of the cases of a kind. `prepare` raises LeftOutError for a case that this implementation skips.

    name: unique among the implementations of its kind. role: `ours`, or `peer` for a baseline; each row is compared
    with every baseline.
    """

    name: str
    title: str
    role: Literal["ours", "peer"]
    kind: Literal["training", "sampling"]
    prepare: Callable[[Case, BenchContext], Ready]
