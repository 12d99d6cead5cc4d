"""Implementations in turn, a slice of each in every round, so that other load on the machine affects all alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.speed.cases import Case
from benchmarks.speed.implementations import BenchContext, Implementation, LeftOutError, Ready


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured.

    slice_s: of one implementation in one round. budget_s: of a case, by kind; it gets as many rounds as fit, at least
    `fewest` and at most `most`. product: size of the matrices of the ceiling.
    """

    slice_s: dict[str, float]
    budget_s: dict[str, float]
    fewest: int = 5
    most: int = 15
    product: int = 2048


FULL = Plan(slice_s={"training": 1.0, "sampling": 0.4}, budget_s={"training": 42.0, "sampling": 9.0})
QUICK = Plan(
    slice_s={"training": 0.0, "sampling": 0.0},
    budget_s={"training": 0.0, "sampling": 0.0},
    fewest=1,
    product=128,
)


@dataclass(kw_only=True)
class Entry:
    """An implementation in a case. times: seconds per call, by round."""

    implementation: Implementation
    ready: Ready
    count: int
    times: list[float] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One case. left_out: implementations that skipped it, and why. ceiling: FLOP/s by precision and round."""

    case: Case
    entries: list[Entry]
    left_out: list[tuple[Implementation, str]]
    ceiling: dict[str, list[float]]


def measure(
    case: Case,
    implementations: Sequence[Implementation],
    context: BenchContext,
    products: dict[str, Callable[[int], float]],
    plan: Plan,
) -> Measured:
    """Prepare the implementations one after another, then time them in turn."""
    entries: list[Entry] = []
    left_out: list[tuple[Implementation, str]] = []
    ceiling: dict[str, list[float]] = {name: [] for name in products}
    with ExitStack() as stack:
        for implementation in (each for each in implementations if each.kind == case.kind):
            try:
                ready = implementation.prepare(case, context)
                stack.callback(ready.close)
                entries.append(
                    Entry(implementation=implementation, ready=ready, count=_calls(ready, plan.slice_s[case.kind]))
                )
            except LeftOutError as reason:
                left_out.append((implementation, str(reason)))
        began = time.monotonic()
        for number in range(plan.most):
            if number >= plan.fewest and time.monotonic() - began > plan.budget_s[case.kind]:
                break
            for name, multiply in products.items():
                ceiling[name].append(multiply(2))
            for entry in entries:
                entry.times.append(entry.ready.run(entry.count) / entry.count)
    return Measured(case=case, entries=entries, left_out=left_out, ceiling=ceiling)


def _calls(ready: Ready, slice_s: float) -> int:
    """The number of calls that fill a slice. It also warms up: first calls allocate, compile and fill caches."""
    if not slice_s:
        ready.run(1)
        return 1
    ready.run(2)
    each = ready.run(2) / 2
    if 8 * each < slice_s:
        each = ready.run(8) / 8
    return max(1, round(slice_s / each))


def faster(entry: Entry, baseline: Entry) -> float:
    """How many times as fast as a baseline: the median of the ratios within rounds, which share the machine's state."""
    return statistics.median(theirs / own for own, theirs in zip(entry.times, baseline.times, strict=True))
