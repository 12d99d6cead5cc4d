"""Keyset pages: newest first, continued after the last id seen, so that a page costs the same however deep it is."""

from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.errors import SpecError
from shared.ids import Prefix, is_id

RowT = TypeVar("RowT")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def newest_first(
    session: Session,
    query: Select[RowT],
    key: InstrumentedAttribute[str],
    *,
    prefix: Prefix,
    limit: int,
    after: str | None,
) -> tuple[list[RowT], bool]:
    """One page of a query by descending id, and whether there is more. Raises SpecError for a bad page."""
    if not 1 <= limit <= MAX_LIMIT:
        raise SpecError.at("?limit", f"Give a limit from 1 to {MAX_LIMIT}.", "out_of_range")
    if after is not None:
        if not is_id(after, prefix):
            raise SpecError.at("?after", f"Give the last id of the previous page ({prefix}_…).", "invalid")
        query = query.where(key < after)
    rows: list[Any] = list(session.scalars(query.order_by(key.desc()).limit(limit + 1)))
    return rows[:limit], len(rows) > limit
