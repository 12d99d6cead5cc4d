"""What the commands share: the server's address and the options that mean the same everywhere."""

from typing import Annotated

import typer

from client.http import Client, default_url

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one value a line.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=100, help="How many, newest first.")]


def connect(context: typer.Context) -> Client:
    """A client of the server that `--url`, MIMEO_URL or MIMEO_PORT names."""
    root = context.find_root()
    return Client(root.params.get("url") or default_url())
