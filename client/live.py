"""The live view of a job on a terminal: a progress bar below, samples above it."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.rule import Rule
from rich.text import Text

from client.formatting import duration, metrics_line, queue_position, rate, sample_title, wait_reason
from client.headlines import Names, everything, shown_metrics
from client.images import half_blocks
from client.schema import Artifact, Event, Job
from client.terminal import is_unicode, printable

IMAGE_COLUMNS, IMAGE_ROWS = 64, 32
TEXT_CHARACTERS = 600


def job_progress(console: Console) -> Progress:
    """A progress display whose tasks are jobs: name, bar, epoch, metrics, speed, time left."""
    return Progress(
        SpinnerColumn("dots" if is_unicode(console) else "line", finished_text=" "),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[state]}", markup=False),
        console=console,
        refresh_per_second=8,
    )


def state_text(job: Job, names: Sequence[str] | None = None) -> str:
    """The text after the bar. names: the metrics to show; None for all."""
    progress = job.get("progress")
    if job["status"] == "queued":
        position = queue_position(job)
        retried = f", attempt {job['attempt'] + 1} of {job['max_attempts']}" if job["attempt"] else ""
        reason = f": {wait_reason(job)}" if job.get("waiting_for") not in {None, "worker"} else ""
        return f"queued{f' at position {position}' if position else ''}{retried}{reason}"
    if job["is_terminal"]:
        figures = metrics_line(job.get("metrics"), names)
        return "  ".join(part for part in (job["status"], figures, f"in {duration(job['duration_s'])}") if part)
    if not progress or not progress["steps"]:
        return f"{job['status']}: loading the data"
    left = f"{duration(progress['eta_s'])} left" if progress["eta_s"] is not None else ""
    epoch = f"epoch {progress['epoch']}/{progress['epochs']}"
    status = "" if job["status"] == "running" else job["status"]
    shown = (status, epoch, metrics_line(job.get("metrics"), names), rate(progress["examples_per_s"]), left)
    return "  ".join(part for part in shown if part)


def show_job(progress: Progress, task: TaskID, job: Job, names: Sequence[str] | None = None) -> None:
    """Update a job's bar."""
    done = job.get("progress")
    fraction = done["fraction"] if done else 0.0
    started = job["started_at"] is not None
    progress.update(
        task, completed=100 * fraction, total=100 if started else None, state=printable(state_text(job, names))
    )


def shows_pictures(console: Console) -> bool:
    """Whether the terminal can show an image as characters: it has colours, and its encoding has `▀`."""
    return console.is_terminal and console.color_system is not None and is_unicode(console)


def show_content(console: Console, content: bytes, media_type: str) -> None:
    """Print an image as characters, or a text, reduced to the terminal's size."""
    if media_type == "image/png" and shows_pictures(console):
        columns = min(IMAGE_COLUMNS, console.width - 2)
        console.print(half_blocks(content, columns=columns, rows=min(IMAGE_ROWS, max(8, console.height - 6))))
    elif media_type.startswith("text/"):
        text = content.decode("utf-8", errors="replace")
        shown = text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} …"
        console.print(Padding(Text(shown), (0, 2)))


class LivePresenter:
    """A progress bar with samples above it. names: metrics to show, by model type."""

    def __init__(self, console: Console, names: Names = everything) -> None:
        self._names = names
        self._console = console
        self._progress = job_progress(console)
        self._task: TaskID | None = None

    def job(self, job: Job) -> None:
        """Update the bar."""
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(printable(job["name"] or job["model_type"]), total=None, state="")
        show_job(self._progress, self._task, job, shown_metrics(job, self._names))

    def sample(self, sample: Artifact, content: bytes, path: Path) -> None:
        """Print the sample above the bar."""
        console = self._progress.console
        console.print(Rule(Text(printable(f"{sample_title(sample)} · {path}")), align="left", style="dim"))
        show_content(console, content, sample["media_type"])

    def alarm(self, alarm: Event) -> None:
        """Print the warning above the bar."""
        self._progress.console.print(Text(printable(f"{alarm['type']}: {alarm['message']}"), style="yellow"))

    def notice(self, text: str) -> None:
        """Print the reason above the bar."""
        self._progress.console.print(Text(printable(text), style="yellow"))

    def close(self) -> None:
        """Stop the display; the bar remains."""
        self._progress.stop()
