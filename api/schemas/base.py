"""Parts that several responses share."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema


def rfc3339(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-23T04:05:06.789Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T04:05:06.789Z"]}),
]
Url = Annotated[str, WithJsonSchema({"type": "string", "format": "uri-reference"})]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
# A number that is not finite becomes null, because JSON has no NaN.
Measurements = dict[str, float | None]
JsonObject = dict[str, Any]


class Answer(BaseModel):
    """Base of every response. Every field is always present, so it is documented as required."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


ItemT = TypeVar("ItemT", bound=Answer)


class PageOf(Answer, Generic[ItemT]):
    """One page of a list. `has_more`: follow `Link: rel="next"`, or set `after` to the last id."""

    data: list[ItemT]
    has_more: bool
