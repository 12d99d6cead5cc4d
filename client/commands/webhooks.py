"""`mimeo deliveries`."""

from typing import Annotated

import typer

from client.connection import JsonOption, connect
from client.formatting import ago
from client.output import print_json, table


def deliveries(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(help="A job with a webhook.", show_default=False)],
    again: Annotated[str | None, typer.Option(help="Send this delivery again; its id is in the list.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the deliveries of a job's webhook, newest first, or send one again."""
    with connect(context) as client:
        found = [client.redeliver(job_id, again)] if again else client.deliveries(job_id)
    if as_json:
        for delivery in found:
            print_json(delivery)
        return
    rows = [
        (
            each["id"],
            each["event"],
            each["status"],
            each["attempts"],
            str(each["response_status"] or each["error"] or "–"),
            ago(each["created_at"]),
        )
        for each in found
    ]
    table(("id", "event", "status", "attempts", "last answer", "created"), rows)
