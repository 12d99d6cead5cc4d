"""The demonstration, step by step. Exit status: 0 when every job succeeded, 1 when one failed, 2 without a server."""

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from rich.console import Console

from client.demo.datasets import choose
from client.demo.samples import generate_sample, write_sheet
from client.demo.server import demo_server
from client.demo.training import train_all
from client.errors import ClientError
from client.formatting import duration, outcome, quality_line
from client.headlines import Headlines
from client.http import Client
from client.live import show_content
from client.terminal import make_console, replace_missing_characters


def main() -> int:
    """Run the demonstration. Returns the exit status."""
    arguments = _parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM cleans up like Ctrl-C
    replace_missing_characters()
    console = make_console()
    started = time.monotonic()
    home = Path(os.environ.get("MIMEO_HOME") or ".mimeo") / "demo"
    place = f"Starting Mimeo in {home} …" if arguments.url is None else f"Using the server at {arguments.url}."
    console.print(place, markup=False)
    try:
        with demo_server(arguments.url, home.absolute()) as client:
            console.print(f"The API answers at {client.base_url} after {duration(time.monotonic() - started)}.\n")
            status = run(client, console, arguments.out)
            console.print(f"\nDone in {duration(time.monotonic() - started)}.")
            show_studio(client, console, home if arguments.url is None else None)
    except ClientError as error:
        console.print(f"mimeo: {error}", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def show_studio(client: Client, console: Console, home: Path | None) -> None:
    """Print the address of the page with the models.

    home: of the demonstration's own server, which serves that page until Ctrl-C; without a terminal it ends at once,
    and the command for another one is printed.
    """
    address = f"{client.base_url}/models"
    is_watched = console.is_terminal and sys.stdin.isatty()
    if home is not None and not is_watched:
        address = f"http://127.0.0.1:8000/models after: MIMEO_HOME={home} make up"
    is_waiting = home is not None and is_watched
    until = " (until Ctrl-C)" if is_waiting else ""
    console.print(f"The studio shows the models at {address}{until}", markup=False, soft_wrap=True)
    if is_waiting:
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            console.print("Stopping.")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m client.demo", description="One job of each model type, then samples."
    )
    parser.add_argument("--url", help="use this server instead of starting one")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of the samples (default ./demo)")
    return parser.parse_args()


def run(client: Client, console: Console, folder: Path) -> int:
    """Choose datasets, train, sample and print the results. Returns the exit status."""
    model_types = {item["name"]: item for item in client.model_types()}
    datasets = {item["name"]: item for item in client.datasets()}
    choices = {name: choose(model_type, datasets) for name, model_type in model_types.items()}
    for name, choice in choices.items():
        console.print(f"{model_types[name]['title']} ({name}): {choice.dataset}: {choice.reason}", markup=False)
    console.print()
    jobs = train_all(client, console, model_types, choices)
    failed = [job for job in jobs.values() if job["status"] != "succeeded"]
    for job in failed:
        console.print(outcome(job), markup=False)
    folder.mkdir(parents=True, exist_ok=True)
    written, panels = [], []
    for name, job in jobs.items():
        if job["model"] is None:
            continue
        path, content, media_type = generate_sample(client, model_types[name], job["model"], folder)
        title = f"{model_types[name]['title']} on {job.get('dataset')}"
        console.print(f"\n{title}", style="bold", markup=False)
        quality = client.model(job["model"])["quality"]
        console.print(quality_line(quality, Headlines(client).quality(name)), markup=False, soft_wrap=True)
        show_content(console, content, media_type)
        written.append(path)
        panels.append((title, content, media_type))
    if panels:
        written.append(write_sheet(panels, folder / "samples.png"))
    console.print("\nSamples:")
    for path in written:
        console.print(f"  {path}", markup=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
