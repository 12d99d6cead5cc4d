"""Request headers of routes: preferences, conditions, idempotency keys."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from api.parameters import Absent, Documented, documented
from shared.errors import FieldError, SpecError

LONGEST_WAIT_S = 60
_KEY = re.compile("[!-~]{1,200}")
IDEMPOTENCY_KEY = "^[!-~]{1,200}$"
_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=$|[,;])', re.IGNORECASE)
_ASYNC = re.compile(r"(?:^|,)\s*respond-async\s*(?=$|[,;])", re.IGNORECASE)


class _Headers(Documented):
    """Base of the request headers of a route; others are ignored."""


class ConditionalHeaders(_Headers):
    """Headers of a conditional GET."""

    if_none_match: str | Absent = Field(
        None, alias="If-None-Match", description="The `ETag` of an earlier response; 304 while it is unchanged."
    )


class ExportHeaders(ConditionalHeaders):
    """Headers of a download whose file may have to be created."""

    prefer: str | Absent = Field(
        None,
        alias="Prefer",
        description="`respond-async`: while the file is being created, the answer is 202 with the job. `wait=N` delays "
        "it by at most N seconds. RFC 7240.",
        examples=["respond-async, wait=10"],
    )

    @property
    def is_async(self) -> bool:
        """Whether `respond-async` is preferred."""
        return _ASYNC.search(self.prefer or "") is not None

    @property
    def wait_s(self) -> int | None:
        """N of `wait=N`; None when absent or malformed."""
        return _preferred_wait_s(self.prefer)


def _preferred_wait_s(prefer: str | None) -> int | None:
    """N of `wait=N`, at most 60; None when absent or malformed, as in RFC 7240."""
    match = _WAIT.search(prefer or "")
    return min(int(match[1]), LONGEST_WAIT_S) if match else None


def _check_key(value: str) -> str:
    if not _KEY.fullmatch(value):
        detail = "Give 1 to 200 visible ASCII characters, without spaces: a new UUID for each new request."
        raise SpecError(detail, [FieldError(pointer="Idempotency-Key", detail=detail, code="invalid")])
    return value


class StreamHeaders(_Headers):
    """Headers of a stream."""

    last_event_id: Annotated[str, StringConstraints(max_length=64)] | Absent = Field(
        None, alias="Last-Event-ID", description="Id of the last received event; the stream continues after it."
    )


class SubmitHeaders(_Headers):
    """Headers of a POST that creates a job."""

    idempotency_key: Annotated[str, AfterValidator(_check_key), documented(IDEMPOTENCY_KEY)] | Absent = Field(
        None,
        alias="Idempotency-Key",
        description="For 24 hours, a repetition with the same key and body returns the same job.",
    )


class PreferHeaders(SubmitHeaders):
    """Headers of a POST that may wait for its result."""

    prefer: str | Absent = Field(
        None,
        alias="Prefer",
        description="`wait=N` delays the response until the end of the job, by at most N seconds (up to 60). RFC 7240. "
        "The response has `Preference-Applied` if it did; with `MIMEO_API_WAITS` requests waiting it does not.",
        examples=["wait=10"],
    )

    @property
    def wait_s(self) -> int:
        """N of `wait=N`; 0 when absent or malformed."""
        return _preferred_wait_s(self.prefer) or 0
