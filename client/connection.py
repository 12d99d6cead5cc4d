"""The server's address and the options that several commands share."""

from typing import Annotated

import typer

from client.http import Client, default_url

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one value per line.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100, help="Number of items.")]


def connect(context: typer.Context) -> Client:
    """A client of the server that `--url`, MIMEO_URL or MIMEO_PORT names."""
    root = context.find_root()
    return Client(root.params.get("url") or default_url())
