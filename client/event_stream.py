"""Reads server-sent events (HTML Living Standard, section 9.2)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


class StreamRefused(Exception):
    """The server has no stream for this client: too many are open, or its version has none."""


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """One event. id: the position of the stream; None for an event that has none.

    A comment, which a silent stream sends every ten seconds, has the name `comment` and no data.
    """

    name: str
    id: str | None
    data: Any


def events(lines: Iterable[str]) -> Iterator[StreamEvent]:
    """The events in the lines of a response. An event that a lost connection cut off is left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        else:
            if "event" in fields and "data" in fields:
                yield StreamEvent(name=fields["event"], id=fields.get("id"), data=json.loads(fields["data"]))
            elif "" in fields:
                yield StreamEvent(name="comment", id=None, data=None)
            fields = {}
