"""Messages in a worker's Redis lists that are no notifications."""

import base64
import json
from collections.abc import Callable
from typing import Any

from shared.broker.celery_settings import KEY_PREFIX
from shared.job_status import JobKind
from tests.servers import Valkey


def with_body(value: object) -> Callable[[dict[str, Any]], bytes]:
    """A valid envelope with another body."""
    return lambda envelope: json.dumps({**envelope, "body": encoded(value)}).encode()


def with_fields(**changes: object) -> Callable[[dict[str, Any]], bytes]:
    """A valid envelope with other top-level fields; None removes a field."""

    def changed(envelope: dict[str, Any]) -> bytes:
        fields = {**envelope, **changes}
        return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()

    return changed


def with_header(name: str, value: object) -> Callable[[dict[str, Any]], bytes]:
    """A valid envelope with one other header."""
    return lambda envelope: json.dumps({**envelope, "headers": {**envelope["headers"], name: value}}).encode()


def encoded(value: object) -> str:
    """A body in the form of the envelope: base64 of JSON."""
    return base64.b64encode(json.dumps(value).encode()).decode()


EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
DEEP = b"[" * 100_000

BAD_MESSAGES: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "null body": with_body(None),
    "text body": with_body("hi"),
    "object body": with_body({}),
    "empty list body": with_body([]),
    "number body": with_body(7),
    "another task": with_header("task", "mimeo.other"),
    "celery's own task": with_header("task", "celery.chord"),
    "too many arguments": with_body([["a", "b"], {}, EMBED]),
    "an argument of another type": with_body([[{"a": 1}], {}, EMBED]),
    "a keyword argument": with_body([["trn_1"], {"x": 1}, EMBED]),
    "a chain": with_body([["trn_1"], {}, {**EMBED, "chain": [{"task": "mimeo.training", "args": ["x"]}]}]),
    "invalid base64": with_fields(body="%%%"),
    "no body": with_fields(body=None),
    "another content type": with_fields(**{"content-type": "application/x-python-serialize"}),
    "no properties": with_fields(properties=None),
    "headers of another type": with_fields(headers="hi"),
    "no delivery information": with_fields(properties={"body_encoding": "base64", "delivery_tag": "x"}),
    "truncated": lambda envelope: json.dumps(envelope).encode()[:-40],
    "not JSON": lambda _: b"\x00\xff\x1b[31mred",
    "empty": lambda _: b"",
    "JSON null": lambda _: b"null",
    "kombu's typed JSON": lambda _: b'{"__type__": "decimal", "__value__": {}}',
    "deeply nested": lambda _: DEEP,
    "large": lambda envelope: json.dumps({**envelope, "extra": "x" * 2_000_000}).encode(),
}


def valid_envelope(kind: JobKind, job_id: str = "trn_1") -> dict[str, Any]:
    """The envelope of a notification, as Celery 5.7 writes it."""
    return {
        "body": encoded([[job_id], {}, EMBED]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": f"mimeo.{kind}", "id": "745bc269-17ce-4dda-8c56-025500f53a41", "retries": 0},
        "properties": {
            "correlation_id": "745bc269-17ce-4dda-8c56-025500f53a41",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": str(kind)},
            "priority": 3,
            "body_encoding": "base64",
            "delivery_tag": "33358bde-0993-48d6-9782-54fa6757fa3e",
        },
    }


def push(valkey: Valkey, kind: JobKind, message: bytes) -> None:
    """Put a message into the list of the highest priority."""
    with valkey.client() as client:
        client.lpush(f"{KEY_PREFIX}{kind}", message)
