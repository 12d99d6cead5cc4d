"""The text format of server-sent events (HTML Living Standard, section 9.2)."""

COMMENT = b": \n\n"  # keeps the connection open; clients ignore it
RETRY = b"retry: 1000\n\n"  # milliseconds after which a client connects again


def frame(event: str, data: str, *, event_id: object = None) -> bytes:
    """One event. data: JSON text without line breaks."""
    head = f"event: {event}\n" if event_id is None else f"event: {event}\nid: {event_id}\n"
    return f"{head}data: {data}\n\n".encode()
