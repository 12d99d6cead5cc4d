"""Keyset pages, continued after the last id of the page before, so that each page costs the same."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.errors import SpecError
from shared.ids import Prefix, is_id

RowT = TypeVar("RowT")

DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def check(limit: int, after: str | None, prefix: Prefix) -> None:
    """Raises SpecError for a limit or an `after` that no page can have."""
    if not 1 <= limit <= MAX_LIMIT:
        raise SpecError.at("?limit", f"Give a limit from 1 to {MAX_LIMIT}.", "out_of_range")
    if after is not None and not is_id(after, prefix):
        raise SpecError.at("?after", f"Give the last id of the previous page ({prefix}_…).", "invalid")


def page(
    session: Session,
    query: Select[Any],
    key: InstrumentedAttribute[str],
    *,
    conditions: Sequence[ColumnElement[bool]],
    order: Sequence[ColumnElement[Any]],
    limit: int,
) -> tuple[list[Any], bool]:
    """The first rows of a query under the conditions, and whether there is more. query: whole rows, unfiltered."""
    # The ids are selected first, from the index that answers the filters. In a query for whole rows PostgreSQL may scan
    # the primary key instead, and read every newer row that the filters leave out.
    ids = select(key.label("id")).where(*conditions).order_by(*order).limit(limit + 1).subquery()
    rows: list[Any] = list(session.scalars(query.where(key.in_(select(ids.c.id))).order_by(*order)))
    return rows[:limit], len(rows) > limit


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
    check(limit, after, prefix)
    conditions = [column == value for column, value in filters.items() if value is not None]
    if after is not None:
        conditions.append(key < after)
    return page(session, query, key, conditions=conditions, order=(key.desc(),), limit=limit)
