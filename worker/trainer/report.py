"""Where a run's events go: RUN_DIR/events.jsonl always, and JSON lines on a pipe or a progress bar on a terminal."""

import os
import sys
import threading
from io import RawIOBase
from pathlib import Path
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from shared import trainer_protocol
from shared.trainer_protocol import Event


class Display(Protocol):
    """Shows events as they happen."""

    def show(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """Show no more."""


class Listener(Protocol):
    """Hears every event before it is shown, and may have something to report before it."""

    def take(self, event: Event) -> Event | None:
        """Hear an event."""


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
            case trainer_protocol.Started():
                self._start(event)
            case trainer_protocol.Progress() if self._task is not None:
                self._bar.update(
                    self._task,
                    completed=event.step,
                    epoch=f"{event.epoch}/{self._epochs}",
                    figures=_figures(event.metrics),
                    speed=f"{event.examples_per_s:,.0f}/s",
                )
            case trainer_protocol.Metrics():
                if figures := _figures({name: value for name, value in event.values.items() if name != "loss"}):
                    self._line(f"[dim]step {event.step}: {figures}[/dim]", only_if="val_loss" in event.values)
            case trainer_protocol.SampleWritten():
                self._line(f"epoch {event.epoch}: [bold]{self._run_dir / event.path}[/bold]")
            case trainer_protocol.Notice():
                self._line(f"[yellow]{event.message}[/yellow]{f' {event.hint}' if event.hint else ''}")
            case trainer_protocol.Finished():
                self._finish(event)
            case trainer_protocol.Failed():
                self.close()
                self._console.print(f"[red]failed ({event.code})[/red]: {event.message}", soft_wrap=True)
                if event.hint:
                    self._console.print(event.hint, soft_wrap=True)
            case _:
                pass

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()

    def _start(self, event: trainer_protocol.Started) -> None:
        self._epochs = event.epochs
        at = f", continuing at step {event.step:,}" if event.step else ""
        graphs = ", steps recorded as CUDA graphs" if event.backend == "cuda_graph" else ""
        self._line(
            f"{event.parameters:,} parameters on {event.device} in {event.precision}{graphs}, {event.epochs} epochs of"
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

    def _finish(self, event: trainer_protocol.Finished) -> None:
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
        self._listener: Listener | None = None

    def attach(self, listener: Listener) -> None:
        """From now on `listener` hears every event first."""
        self._listener = listener

    def emit(self, event: Event) -> None:
        """Report. Raises OSError when a file cannot be written; of a failure the display has been told by then."""
        with self._lock:
            if isinstance(event, trainer_protocol.Failed):
                self._fail(event)
                return
            if self._listener is not None and (first := self._listener.take(event)):
                self._send(first)
            self._send(event)

    def _fail(self, event: trainer_protocol.Failed) -> None:
        """Report the end of a run whose disk may be the failure: that the display hears of it is what counts."""
        try:
            last = self._listener.take(event) if self._listener is not None else None
        except OSError as error:
            last = None
            print(f"mimeo trainer: the event file cannot be written: {error}", file=sys.stderr)
        for each in (last, event) if last is not None else (event,):
            self._display.show(each)
            try:
                self._write(each)
            except OSError:
                print("mimeo trainer: events.jsonl cannot be written", file=sys.stderr)

    def _send(self, event: Event) -> None:
        self._display.show(event)
        self._write(event)

    def _write(self, event: Event) -> None:
        self._log.write(event.model_dump_json().encode() + b"\n")

    def alarm(self, code: str, message: str, hint: str, *, step: int, data: dict[str, Any]) -> None:
        """Report what a health check found at a step. A run that repeats steps after a kill reports it again."""
        self.emit(trainer_protocol.Notice(code=code, message=message, hint=hint, step=step, data=data))

    def notice(self, code: str, message: str, hint: str | None = None, **data: object) -> None:
        """Report something a user should know."""
        self.emit(trainer_protocol.Notice(code=code, message=message, hint=hint, data=data))

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
