"""Keyset pages: newest first, continued after the last id of the page before, so that each page costs the same."""

from collections.abc import Mapping
from typing import Any, TypeVar

from sqlalchemy import Select, select
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
    filters: Mapping[InstrumentedAttribute[Any], Any],
) -> tuple[list[RowT], bool]:
    """One page of a query by descending id, and whether there is more. Raises SpecError for a bad page.

    query: whole rows, unfiltered. filters: required values of columns; None: any value.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise SpecError.at("?limit", f"Give a limit from 1 to {MAX_LIMIT}.", "out_of_range")
    if after is not None and not is_id(after, prefix):
        raise SpecError.at("?after", f"Give the last id of the previous page ({prefix}_…).", "invalid")
    # The ids are selected first, from the index that answers the filters. In a query for whole rows PostgreSQL may scan
    # the primary key instead, and read every newer row that the filters leave out.
    ids = select(key.label("id")).where(*(column == value for column, value in filters.items() if value is not None))
    if after is not None:
        ids = ids.where(key < after)
    page = ids.order_by(key.desc()).limit(limit + 1).subquery()
    rows: list[Any] = list(session.scalars(query.where(key.in_(select(page.c.id))).order_by(key.desc())))
    return rows[:limit], len(rows) > limit
