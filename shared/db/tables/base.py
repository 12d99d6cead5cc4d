"""The base of every table, and the types and constants that several tables have."""

from datetime import datetime
from typing import cast

from sqlalchemy import MetaData, String, Table
from sqlalchemy.orm import DeclarativeBase

from shared.db.clock import Timestamp
from shared.db.column_types import JSON_TYPE, JsonObject, JsonObjects

DEFAULT_OWNER = "local"  # of everything while authentication is off
OWNER = String(64)
PLACEMENT = String(700)
DEVICE_ID = String(200)


class Base(DeclarativeBase):
    """Base of every table. Constraints have names, so that later migrations can refer to them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
        }
    )
    type_annotation_map = {datetime: Timestamp(), JsonObject: JSON_TYPE, JsonObjects: JSON_TYPE}  # noqa: RUF012 - SQLAlchemy reads it once


def table_of(row: type[Base]) -> Table:
    """A class's table: statements on it run faster than on the class and do not change the objects of a session."""
    return cast(Table, row.__table__)
