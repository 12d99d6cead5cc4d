"""What a side of the comparison is. A further row is an entry in a tuple of them, and nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.speed.bench_data import BenchData
from benchmarks.speed.cases import Case


class LeftOutError(Exception):
    """A side does not play a case, and why: its row says so."""


@dataclass(frozen=True, kw_only=True)
class BenchContext:
    """What all sides share: data, a folder of their own for files, and how many threads each gets."""

    material: BenchData
    folder: Path
    threads: int


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A side that has built its model for a case.

    run: makes so many calls of the case and gives the seconds they took. about: what the row should say of it, such as
    a precision. parameters: trainable ones, None where nothing was trained. close: frees the model.
    """

    run: Callable[[int], float]
    about: str = ""
    parameters: int | None = None
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, kw_only=True)
class Implementation:
    """One row of the cases of a kind. `prepare` raises LeftOutError for a case that this side does not play.

    name: unique among the sides of its kind. role: `ours`, or `peer`: each row is compared with every peer.
    """

    name: str
    title: str
    role: Literal["ours", "peer"]
    kind: Literal["training", "sampling"]
    prepare: Callable[[Case, BenchContext], Ready]
