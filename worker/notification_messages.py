"""Checks the messages that Redis holds for a worker before Celery sees them.

Redis is shared, and Celery's consumer ends on several kinds of malformed message, after it has put the message back.
A message that is not a notification in the form of `CeleryBroker.send` is therefore dropped here. Fields that a
notification does not need are removed, so that a message cannot start, delay or chain other work.
"""

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.broker.celery_settings import task_name
from shared.job_status import JobKind

LARGEST_BYTES = 16 * 1024  # a notification has about 1,100

_Id = Annotated[str, Field(min_length=1, max_length=100)]
_Nothing = Annotated[dict[str, Any], Field(max_length=0)]


class InvalidMessage(ValueError):
    """A message that is not a notification; the text is the reason."""


class _Embed(BaseModel):
    """Celery's callbacks and chains, which a notification does not have."""

    model_config = ConfigDict(extra="forbid")

    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


_BODY = TypeAdapter(tuple[tuple[_Id], _Nothing, _Embed])


def _checked_body(encoded: str) -> str:
    try:
        _BODY.validate_json(base64.b64decode(encoded, validate=True), strict=False)
    except binascii.Error as error:
        raise ValueError(f"invalid base64: {error}") from None
    return encoded


class _Headers(BaseModel):
    task: str
    id: _Id


class _DeliveryInfo(BaseModel):
    exchange: Literal[""] = ""
    routing_key: _Id


class _Properties(BaseModel):
    body_encoding: Literal["base64"]
    delivery_tag: _Id
    delivery_info: _DeliveryInfo


class _Envelope(BaseModel):
    """The fields that Celery and kombu need; others are ignored."""

    body: Annotated[str, AfterValidator(_checked_body)]
    content_type: Literal["application/json"] = Field(alias="content-type")
    content_encoding: Literal["utf-8"] = Field(alias="content-encoding")
    headers: _Headers
    properties: _Properties


def checked(message: bytes, kind: JobKind) -> bytes:
    """The message, with the known fields only. Raises InvalidMessage if it is no notification of this kind."""
    if len(message) > LARGEST_BYTES:
        raise InvalidMessage(f"{len(message):,} bytes are more than {LARGEST_BYTES:,}")
    try:
        envelope = _Envelope.model_validate_json(message)
    except ValidationError as error:
        raise InvalidMessage(_reason(error)) from None
    if envelope.headers.task != task_name(kind):
        raise InvalidMessage(f"the task is not {task_name(kind)}")
    return envelope.model_dump_json(by_alias=True).encode()


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
