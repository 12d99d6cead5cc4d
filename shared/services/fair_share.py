"""Fair share: the owner that has used the least is next; the order within an owner is that of `queue_order`.

The use of an owner is the time for which workers have held its jobs of a kind. It halves every HALF_LIFE_MS. A held
job counts at least EXPECTED_MS, so that simultaneous claims go to different owners. The time of a held job is read
from its row. The end of an attempt adds it to the table `owner_use` in its own transaction, so that a crash neither
loses nor doubles it. Both values are no settings, because all processes have to use the same.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Connection,
    Insert,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    case,
    cast,
    func,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import OwnerUse, table_of
from shared.job_status import JobKind
from shared.services.queue_order import IS_HELD, IS_QUEUED, JOBS, KIND, due_of, is_held_in
from shared.settings import Settings

HALF_LIFE_MS = 24 * 3600 * 1000
EXPECTED_MS = {JobKind.TRAINING: 60_000, JobKind.GENERATION: 1_000}
_USE = table_of(OwnerUse)
_MANY = 1_000_000_000
_LOCKS = 4_071  # the first half of the key of each advisory lock
_TRY_LOCK = select(func.pg_try_advisory_xact_lock(_LOCKS, func.hashtext(bindparam("claimed_share"))))
_LOCK = select(func.pg_advisory_xact_lock(_LOCKS, func.hashtext(bindparam("claimed_share"))))


@dataclass(frozen=True, kw_only=True)
class Share:
    """An owner with queued jobs of a kind. name: '' stands for jobs that belong to all owners.

    use_ms: its use now, held jobs included. held: number of jobs that workers hold. is_due: whether a job is due.
    """

    name: str
    use_ms: int
    held: int
    is_due: bool


def running_limit(settings: Settings, kind: JobKind) -> int | None:
    """The most jobs of a kind that workers hold for an owner; None is no limit."""
    return settings.quota_running_jobs if kind is JobKind.TRAINING else None


class Line:
    """The order of claims between owners: the owner with the least use is next, and each claim adds EXPECTED_MS to it.

    Equal use is ordered by name. running_limit: owners with as many held jobs have no turn before one ends.
    """

    def __init__(self, shares: Iterable[Share], kind: JobKind, running_limit: int | None = None) -> None:
        self.shares: dict[str, Share] = {}
        self._expected_ms, self._running_limit = EXPECTED_MS[kind], running_limit
        self.add(shares)

    def add(self, shares: Iterable[Share]) -> None:
        """Add further owners."""
        self.shares |= {share.name: share for share in shares}

    def order(self) -> list[Share]:
        """The shares from which a job can be claimed now, in their order."""
        able = [share for share in self.shares.values() if share.is_due and self._free(share) > 0]
        return sorted(able, key=lambda share: (share.use_ms, share.name))

    def turns(self, counts: Mapping[str, int], most: int) -> list[str]:
        """The owners of the next claims, at most `most`. counts: number of due jobs by owner."""
        keys = merge(*(self._keys(share, counts.get(share.name, 0)) for share in self.shares.values()))
        return [name for _, _, name in islice(keys, most)]

    def turns_before(self, name: str, rank: int, counts: Mapping[str, int]) -> int:
        """Number of claims before that of an owner's job. rank: number of the owner's jobs before it."""
        is_able = rank < self._free(self.shares[name])
        before = rank
        for other in self.shares.values():
            if other.name != name:
                count, free = counts.get(other.name, 0), self._free(other)
                earlier = min(count, self._turns_of(other, name, rank))
                before += min(earlier, free) if is_able else max(earlier, min(count, free))
        return before

    def most_turns_before(self, name: str, rank: int) -> int:
        """The most claims that a single other owner may have before that of an owner's job."""
        if rank >= self._free(self.shares[name]):
            return _MANY
        others = [share for share in self.shares.values() if share.is_due and share.name != name]
        return max((self._turns_of(other, name, rank) for other in others), default=0)

    def _keys(self, share: Share, count: int) -> Iterator[tuple[bool, int, str]]:
        """The sort keys of an owner's next claims."""
        free = self._free(share)
        return ((number >= free, share.use_ms + number * self._expected_ms, share.name) for number in range(count))

    def _turns_of(self, other: Share, name: str, rank: int) -> int:
        """Claims of another owner, if it has enough jobs, before that of an owner's job."""
        ahead_ms = self.shares[name].use_ms + rank * self._expected_ms - other.use_ms
        whole, rest = divmod(ahead_ms, self._expected_ms)
        return max(0, whole + (rest > 0 or other.name < name))

    def _free(self, share: Share) -> int:
        """Number of jobs that an owner may start now."""
        return _MANY if self._running_limit is None else max(0, self._running_limit - share.held)


def turns(session: Session, kind: JobKind, shares: Sequence[Share], *, is_limited: bool) -> Iterator[Share]:
    """The shares in their order; on PostgreSQL those last from which another transaction is claiming.

    Simultaneous claims thereby go to different owners. is_limited: such a share follows only after the other
    transaction's end, so that the number of its held jobs is known.
    """
    if session.get_bind().dialect.name == "sqlite" or (len(shares) == 1 and not is_limited):
        yield from shares
        return
    contended = []
    for share in shares:
        if session.execute(_TRY_LOCK, {"claimed_share": f"{kind}/{share.name}"}).scalar_one():
            yield share
        else:
            contended.append(share)
    for share in contended:
        if is_limited:
            session.execute(_LOCK, {"claimed_share": f"{kind}/{share.name}"})
        yield share


def held_count() -> Any:
    """The number of jobs of the bound parameters' kind and share that workers hold."""
    held = JOBS.alias("held")
    is_held = (held.c.kind == KIND, held.c.share == bindparam("of_share"), is_held_in(held))
    return select(func.count()).select_from(held).where(*is_held).scalar_subquery()


def read(source: Session | Connection, statement: Select[Any], kind: JobKind, **parameters: Any) -> list[Share]:
    """Execute a statement of `shares_where`."""
    values = {"claimed_kind": kind, "expected_ms": EXPECTED_MS[kind], **parameters}
    return [
        Share(
            name=row.share,
            use_ms=(_decayed(row.used_ms, row.charged_at, row.now) if row.used_ms else 0) + (row.held_ms or 0),
            held=row.held,
            is_due=bool(row.is_due),
        )
        for row in source.execute(statement, values)
    ]


def shares_where(*conditions: Any, among: Any = IS_QUEUED) -> Select[Any]:
    """A statement for the use of each owner with queued jobs, and whether one is due that meets the conditions.

    Each owner costs a few reads of indexes, however many jobs it has. among: the condition of a smaller index, in which
    owners and jobs are looked up.
    """
    return _use_of(_waiting(among), among, *conditions)


def one_share() -> Select[Any]:
    """The statement of `shares_where` for the owner in the parameter `of_share`, with or without queued jobs."""
    return _use_of(select(bindparam("of_share", type_=String).label("share")).cte("named"))


def due_counts() -> Select[Any]:
    """A statement for the number of due jobs of each owner, counted up to the parameter `most`."""
    waiting = _waiting(IS_QUEUED)
    due = due_of(waiting.c.share).limit(bindparam("most")).correlate(waiting).subquery()
    count = select(func.count()).select_from(due).correlate(waiting).scalar_subquery()
    return select(waiting.c.share, count.label("due")).where(waiting.c.share.is_not(None))


def _use_of(owners: CTE, *conditions: Any) -> Select[Any]:
    share, held = owners.c.share, _held()
    # Not EXISTS: PostgreSQL would scan the table for any row, where the order makes it use the index.
    is_due = due_of(share, *conditions).limit(1).correlate(owners).scalar_subquery().is_not(None)
    columns = (_USE.c.used_ms, _USE.c.charged_at, db_now().label("now"), held.c.held_ms)
    joined = owners.outerjoin(_USE, and_(_USE.c.owner == share, _USE.c.kind == KIND))
    return (
        select(share, *columns, func.coalesce(held.c.held, 0).label("held"), is_due.label("is_due"))
        .select_from(joined.outerjoin(held, held.c.share == share))
        .where(share.is_not(None))
    )


def _held() -> Subquery:
    """Number and time of the held jobs of each owner that has any."""
    held_ms = cast(db_now() - func.coalesce(JOBS.c.claimed_at, db_now()), BigInteger)
    expected_ms = bindparam("expected_ms", type_=BigInteger)
    counted_ms = cast(func.sum(case((held_ms > expected_ms, held_ms), else_=expected_ms)), BigInteger)
    columns = (JOBS.c.share, func.count().label("held"), counted_ms.label("held_ms"))
    return select(*columns).where(JOBS.c.kind == KIND, IS_HELD).group_by(JOBS.c.share).subquery()


def _waiting(among: Any) -> CTE:
    """The owners with queued jobs: each step looks up the next one in the index."""
    is_waiting = and_(JOBS.c.kind == KIND, IS_QUEUED, among)
    first = select(JOBS.c.share).where(is_waiting).order_by(JOBS.c.share).limit(1).scalar_subquery()
    found = select(first.label("share")).cte("waiting", recursive=True)
    following = select(JOBS.c.share).where(is_waiting, JOBS.c.share > found.c.share).order_by(JOBS.c.share).limit(1)
    return found.union_all(select(following.correlate(found).scalar_subquery()).where(found.c.share.is_not(None)))


def _decayed(used_ms: int, charged_at: datetime, now: datetime) -> int:
    passed_ms = max(0.0, 1000 * (now - charged_at).total_seconds())
    return round(used_ms * math.pow(0.5, passed_ms / HALF_LIFE_MS))


# --- charges ----------------------------------------------------------------------------------------------------


def charge(session: Session, kind: JobKind, held_ms: dict[str, int]) -> None:
    """Add held time in milliseconds to the use of owners, in order of their names so that charges cannot deadlock."""
    rows = [{"owner": share, "kind": kind, "used_ms": max(0, held_ms[share])} for share in sorted(held_ms)]
    if rows:
        session.execute(_charge(session.get_bind().dialect.name), rows)


@cache
def _charge(dialect_name: str) -> Insert:
    dialect = sqlite if dialect_name == "sqlite" else postgresql
    statement = dialect.insert(_USE).values(charged_at=db_now())
    passed_ms = cast(db_now() - _USE.c.charged_at, BigInteger)
    kept = cast(func.round(_USE.c.used_ms * func.power(0.5, passed_ms * 1.0 / HALF_LIFE_MS)), BigInteger)
    used_ms = case((passed_ms > 0, kept), else_=_USE.c.used_ms) + statement.excluded.used_ms
    changes = {"used_ms": used_ms, "charged_at": db_now()}
    complete: Insert = statement.on_conflict_do_update(index_elements=["owner", "kind"], set_=changes)
    return complete
