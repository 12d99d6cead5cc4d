"""Column types that several tables have."""

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Enum, Integer
from sqlalchemy.dialects.postgresql import JSONB

from shared.job_status import JobKind, JobStatus

JsonObject = dict[str, Any]
JsonObjects = list[dict[str, Any]]
JSON_TYPE = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")  # SQLite autoincrements only INTEGER PRIMARY KEY


def _string_column(values: type[StrEnum]) -> Enum:
    """An enumeration in a string column: a new value needs no ALTER TYPE."""
    return Enum(values, native_enum=False, length=16, values_callable=lambda members: [each.value for each in members])


STATUS, KIND = _string_column(JobStatus), _string_column(JobKind)
