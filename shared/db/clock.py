"""Time of the database's clock, as whole milliseconds since 1970 UTC, so that all leases use one clock."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator


class Timestamp(TypeDecorator[datetime]):
    """A UTC datetime in Python, a BIGINT of milliseconds in the database; arithmetic in SQL is in milliseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | int | None, _dialect: Dialect) -> int | None:
        """Datetime → milliseconds; integers (durations in SQL arithmetic) pass."""
        if isinstance(value, datetime):
            return round(value.timestamp() * 1000)
        return value

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        """Milliseconds → datetime in UTC."""
        return None if value is None else datetime.fromtimestamp(value / 1000, tz=UTC)


class db_now(GenericFunction[datetime]):  # noqa: N801 - named like an SQL function
    """The current time of the database's clock, in milliseconds since 1970 UTC; it advances within a transaction."""

    type = Timestamp()
    inherit_cache = True
    name = "db_now"


@compiles(db_now, "sqlite")
def _sqlite_now(_element: ColumnElement[Any], _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"


@compiles(db_now, "postgresql")
def _postgresql_now(_element: ColumnElement[Any], _compiler: SQLCompiler, **_options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
