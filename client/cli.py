"""The `mimeo` command line.

Exit status: 0 success, 1 the job or the server failed, 2 an invalid request or option, or no response from the server.
"""

import os
import sys
from typing import Annotated

import typer

from client.commands import backups, catalogue, dataset_changes, exporting, generation, importing, jobs, space, training
from client.commands.board import board
from client.commands.contracts import model_types
from client.commands.webhooks import deliveries
from client.errors import ApiError, ClientError
from client.output import remark
from client.served_options import GenerateCommand, TrainCommand
from client.terminal import replace_missing_characters

app = typer.Typer(
    help="Train small generative models as jobs, and sample them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    url: Annotated[
        str | None, typer.Option(help="Server; default MIMEO_URL, else this machine at MIMEO_PORT (8000).")
    ] = None,
) -> None:
    """Train small generative models as jobs, and sample them."""


PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=PASSED_ON)
def up(context: typer.Context) -> None:
    """Run the whole of Mimeo on this machine until Ctrl-C (`mimeo up --help`)."""
    # exec replaces this process, so that signals reach the stack.
    os.execv(sys.executable, [sys.executable, "-m", "stack", *context.args])  # noqa: S606  without a shell


@app.command(context_settings=PASSED_ON)
def keys(context: typer.Context) -> None:
    """Create, list and revoke the API keys of the server on this machine (`mimeo keys --help`)."""
    os.execv(sys.executable, [sys.executable, "-m", "api.keys", *context.args])  # noqa: S606  without a shell


app.command(cls=TrainCommand)(training.train)
app.command("jobs")(jobs.jobs)
app.command()(jobs.show)
app.command()(training.follow)
app.command()(jobs.cancel)
app.command()(jobs.priority)
app.command()(jobs.pause)
app.command()(jobs.resume)
app.command()(jobs.retry)
app.command()(jobs.delete)
app.command()(deliveries)
app.command()(space.prune)
app.command()(space.storage)
app.command(context_settings=PASSED_ON)(backups.backup)
app.command(context_settings=PASSED_ON)(backups.restore)
app.command("tensorboard")(board)
app.command(cls=GenerateCommand)(generation.generate)
app.command()(catalogue.models)
app.command("model-types")(model_types)
app.command()(exporting.export)
app.command("import")(importing.import_model)
catalogue.datasets_app.command("show")(dataset_changes.show)
catalogue.datasets_app.command("replace")(dataset_changes.replace)
catalogue.datasets_app.command("describe")(dataset_changes.describe)
catalogue.datasets_app.command("delete")(dataset_changes.delete)
app.add_typer(catalogue.datasets_app, name="datasets")
app.command()(catalogue.workers)


def main() -> None:
    """Run the command line: an error becomes a line, not a stack trace."""
    replace_missing_characters()
    try:
        app()
    except ApiError as error:
        for text in error.lines():
            remark(f"mimeo: {text}")
        sys.exit(2 if error.is_the_users else 1)
    except ClientError as error:
        remark(f"mimeo: {error}")
        sys.exit(2)
    except BrokenPipeError:  # for example `mimeo jobs | head`: the reader has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
