"""Where a run's events go: RUN_DIR/events.jsonl always, and JSON lines on a pipe or a progress bar on a terminal."""

import os
import sys
import threading
from io import RawIOBase
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from shared import events
from shared.events import Event


class Display(Protocol):
    """Shows events as they happen."""

    def show(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Show no more."""


class JsonLines:
    """One JSON object a line, flushed: what a supervisor reads."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        """Write the event. Raises BrokenPipeError when nobody reads any more."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing is held back."""


class Terminal:
    """A progress bar, and a line for whatever is worth keeping."""

    def __init__(self, run_dir: Path, console: Console) -> None:
        self._run_dir = run_dir
        self._console = console
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._task: TaskID | None = None
        self._epochs = 0

    def show(self, event: Event) -> None:
        """Update the bar or print a line."""
        match event:
            case events.Started():
                self._start(event)
            case events.Progress() if self._task is not None:
                self._bar.update(
                    self._task,
                    completed=event.step,
                    epoch=f"{event.epoch}/{self._epochs}",
                    figures=_figures(event.metrics),
                    speed=f"{event.examples_per_s:,.0f}/s",
                )
            case events.Metrics():
                if figures := _figures({name: value for name, value in event.values.items() if name != "loss"}):
                    self._line(f"[dim]step {event.step}: {figures}[/dim]", only_if="val_loss" in event.values)
            case events.SampleWritten():
                self._line(f"epoch {event.epoch}: [bold]{self._run_dir / event.path}[/bold]")
            case events.Health():
                self._line(f"[yellow]{event.message}[/yellow]{f' {event.hint}' if event.hint else ''}")
            case events.Finished():
                self._finish(event)
            case events.Failed():
                self.close()
                self._console.print(f"[red]failed ({event.code})[/red]: {event.message}", soft_wrap=True)
                if event.hint:
                    self._console.print(event.hint, soft_wrap=True)
            case _:
                pass

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def _start(self, event: events.Started) -> None:
        self._epochs = event.epochs
        at = f", continuing at step {event.step:,}" if event.step else ""
        self._line(
            f"{event.parameters:,} parameters on {event.device} in {event.precision}, {event.epochs} epochs of"
            f" {event.steps // event.epochs:,} steps{at}"
        )
        self._task = self._bar.add_task(
            "train",
            total=event.steps,
            completed=event.step,
            epoch=f"{event.epoch}/{event.epochs}",
            figures="",
            speed="",
        )
        self._bar.start()

    def _finish(self, event: events.Finished) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=event.step)
        self.close()
        self._line(f"finished: [bold]{self._run_dir / event.checkpoint}[/bold] {_figures(event.quality)}")

    def _line(self, text: str, *, only_if: bool = True) -> None:
        if only_if:
            self._console.print(text, highlight=False, soft_wrap=True)


class Reporter:
    """Sends every event to the log file and to a display, whole lines only, from any thread."""

    def __init__(self, run_dir: Path, display: Display) -> None:
        self._display = display
        self._lock = threading.Lock()
        self._log = _open_log(run_dir / "events.jsonl")

    def emit(self, event: Event) -> None:
        """Report. Raises OSError when the log cannot be written; the display has been told by then."""
        with self._lock:
            self._display.show(event)
            try:
                self._log.write(event.model_dump_json().encode() + b"\n")
            except OSError:
                if not isinstance(event, events.Failed):
                    raise
                # The failure may be this very disk; the display has the event, which is what counts.
                print("mimeo trainer: events.jsonl cannot be written", file=sys.stderr)

    def health(self, code: str, message: str, hint: str | None = None, **data: object) -> None:
        """Report something a user should know."""
        self.emit(events.Health(code=code, message=message, hint=hint, data=data))

    def close(self) -> None:
        """Close the display and the log."""
        self._display.close()
        self._log.close()


def _open_log(path: Path) -> RawIOBase:
    """Append to the log, on a line of its own if a killed run left half a line."""
    log = path.open("ab", buffering=0)  # nothing is held back, so a full disk cannot spoil the end as well
    with path.open("rb") as written:
        if written.seek(0, os.SEEK_END) > 0:
            written.seek(-1, os.SEEK_END)
            if written.read() != b"\n":
                log.write(b"\n")
    return log


def _figures(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
