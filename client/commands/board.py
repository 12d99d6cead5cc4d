"""`mimeo tensorboard`."""

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from client.connection import connect
from client.errors import BadInput, ClientError
from client.event_file_sync import EventFolder, serving
from client.output import line, remark

REFRESH_S = 5.0


def board(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None, typer.Argument(metavar="[JOB]...", help="Training jobs (trn_…); the newest ones by default.")
    ] = None,
    logdir: Annotated[
        Path | None, typer.Option(help="Folder of the event files; default a temporary one.", file_okay=False)
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port on this machine; 0 for any. Default 6006, or the next free one."),
    ] = None,
) -> None:
    """Open TensorBoard on training jobs, and keep it up to date while they run, until Ctrl-C."""
    for job_id in jobs or []:
        if not job_id.startswith("trn_"):
            raise BadInput(f"{job_id}: only training jobs (trn_…) have event files")
    with connect(context) as client, ExitStack() as stack:
        folder = logdir or Path(stack.enter_context(TemporaryDirectory(prefix="mimeo-tensorboard-")))
        folder.mkdir(parents=True, exist_ok=True)
        events = EventFolder(client, folder, jobs or [])
        events.refresh()
        address = stack.enter_context(serving(folder, port))
        line(f"TensorBoard: {address}")
        remark("It follows running jobs. Ctrl-C ends it.")
        is_transient = False
        try:
            while True:
                time.sleep(REFRESH_S)
                try:
                    events.refresh()
                except ClientError as error:  # the server is unavailable, or a job was deleted
                    if not is_transient:
                        remark(f"mimeo: {error}; the files here remain")
                    is_transient = True
                else:
                    is_transient = False
        except KeyboardInterrupt:
            return
