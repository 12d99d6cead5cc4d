"""The options of commands that submit jobs for the job's webhook."""

from typing import Annotated, Any

import typer

from client.errors import BadInput

WebhookUrlOption = Annotated[str | None, typer.Option(help="URL that events of the job are sent to.")]
WebhookEventOption = Annotated[
    list[str] | None,
    typer.Option(help="An event to send: running, paused, succeeded, failed or cancelled. Repeatable."),
]


def webhook_of(url: str | None, events: list[str] | None) -> dict[str, Any] | None:
    """The webhook of a request; None without a URL. Raises BadInput for events without a URL."""
    if url is None:
        if events:
            raise BadInput("--webhook-event needs --webhook-url.")
        return None
    return {"url": url, "events": events} if events else {"url": url}
