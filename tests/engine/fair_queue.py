"""The specification of the fair share: whose job is claimed next, found by trying one claim after another."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

from shared.job_status import JobKind

HALF_LIFE_MS = 24 * 3600 * 1000
EXPECTED_MS = {JobKind.TRAINING: 60_000, JobKind.GENERATION: 1_000}


class Waiting(Protocol):
    """A job of an owner."""

    @property
    def owner(self) -> str: ...

    @property
    def place(self) -> tuple[int, int]: ...


WaitingT = TypeVar("WaitingT", bound=Waiting)


class Ledger:
    """The past use of owners, in milliseconds by owner and kind."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, JobKind], tuple[int, int]] = {}

    def use_ms(self, owner: str, kind: JobKind, now_ms: int) -> int:
        used_ms, at_ms = self._used.get((owner, kind), (0, now_ms))
        return round(used_ms * math.pow(0.5, max(0, now_ms - at_ms) / HALF_LIFE_MS))

    def charge(self, owner: str, kind: JobKind, held_ms: int, now_ms: int) -> None:
        self._used[owner, kind] = (self.use_ms(owner, kind, now_ms) + held_ms, now_ms)


def claims(
    due: Sequence[WaitingT], use_ms: Counter[str], held: Counter[str], kind: JobKind, limit: int | None
) -> list[WaitingT]:
    """The due jobs in the order of their claims, if none ends meanwhile. After that order, those over the limit.

    use_ms, held: use and number of held jobs by owner.
    """
    use_ms, held, waiting = Counter(use_ms), Counter(held), sorted(due, key=lambda job: job.place)
    order: list[WaitingT] = []
    while waiting:
        able = [job for job in waiting if limit is None or held[job.owner] < limit] or waiting
        owner = min({job.owner for job in able}, key=lambda name: (use_ms[name], name))
        job = next(job for job in able if job.owner == owner)
        use_ms[owner] += EXPECTED_MS[kind]
        held[owner] += 1
        waiting.remove(job)
        order.append(job)
    return order
