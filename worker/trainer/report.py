"""Output of a run's events: to RUN_DIR/events.jsonl, and as JSON lines to a pipe or plain lines to a terminal."""

import os
import sys
import threading
from io import RawIOBase
from pathlib import Path
from typing import Any, Protocol, TextIO

from shared import trainer_protocol
from shared.trainer_protocol import Event


class Display(Protocol):
    """Shows events as they happen."""

    def show(self, event: Event) -> None:
        """Show one event."""

    def close(self) -> None:
        """End the output."""


class Listener(Protocol):
    """Receives every event before it is shown."""

    def take(self, event: Event) -> Event | None:
        """Process an event; may return another event, which is reported before it."""


class JsonLines:
    """One JSON object a line, flushed, for a supervisor."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, event: Event) -> None:
        """Write the event. Raises BrokenPipeError when the reader has closed the pipe."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: the stream is flushed after each line."""


class TextLines:
    """One plain line for each event of interest, for a terminal."""

    def __init__(self, run_dir: Path, stream: TextIO) -> None:
        self._run_dir, self._stream = run_dir, stream
        self._epochs = self._steps = 0

    def show(self, event: Event) -> None:
        """Write the event's line."""
        line = self._line(event)
        if line:
            print(line, file=self._stream, flush=True)

    def _line(self, event: Event) -> str | None:
        line: str | None = None
        match event:
            case trainer_protocol.Started():
                self._epochs, self._steps = event.epochs, event.steps
                place = f"continues at step {event.step:,}" if event.step else f"{event.epochs} epochs"
                how = f"{event.device} in {event.precision}, backend {event.backend}"
                line = f"{event.parameters:,} parameters on {how}: {place} of {event.steps:,} steps"
            case trainer_protocol.Progress():
                place = f"epoch {event.epoch}/{self._epochs}  step {event.step:,}/{self._steps:,}"
                line = f"{place}  {_measured(event.metrics)}  {event.examples_per_s:,.0f} examples/s"
            case trainer_protocol.Metrics() if len(event.values) > 1 and "examples_per_s" in event.values:
                line = f"epoch {event.epoch} evaluated: {_measured(event.values)}"
            case trainer_protocol.SampleWritten():
                line = f"epoch {event.epoch} sample: {self._run_dir / event.path}"
            case trainer_protocol.Notice():
                line = f"{event.code}: {' '.join(filter(None, (event.message, event.hint)))}"
            case trainer_protocol.Finished():
                line = f"finished: {self._run_dir / event.checkpoint}  {_measured(event.quality)}"
            case trainer_protocol.Failed():
                line = f"failed ({event.code}): {' '.join(filter(None, (event.message, event.hint)))}"
            case _:
                pass
        return line

    def close(self) -> None:
        """Do nothing: the stream is flushed after each line."""


class Reporter:
    """Sends every event to the log file and to a display, whole lines only, from any thread."""

    def __init__(self, run_dir: Path, display: Display) -> None:
        self._display = display
        self._lock = threading.Lock()
        self._log = _open_log(run_dir / "events.jsonl")
        self._listener: Listener | None = None

    def attach(self, listener: Listener) -> None:
        """Pass every later event to `listener` before it is shown."""
        self._listener = listener

    def emit(self, event: Event) -> None:
        """Report an event. Raises OSError when a file cannot be written, except for `Failed`, which is shown anyway."""
        with self._lock:
            if isinstance(event, trainer_protocol.Failed):
                self._fail(event)
                return
            if self._listener is not None and (first := self._listener.take(event)):
                self._send(first)
            self._send(event)

    def _fail(self, event: trainer_protocol.Failed) -> None:
        """Report a failure, which may be of the disk itself: the display gets it even if no file can be written."""
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

    def warning(self, code: str, message: str, hint: str | None, *, step: int, data: dict[str, Any]) -> None:
        """Report a warning about the model at a step. A run that repeats steps after a kill reports it again.

        It becomes an event of the job, and an entry of its `warnings`.
        """
        self.emit(trainer_protocol.Notice(code=code, message=message, hint=hint, step=step, is_warning=True, data=data))

    def notice(self, code: str, message: str, hint: str | None = None, **data: object) -> None:
        """Report an event for the user."""
        self.emit(trainer_protocol.Notice(code=code, message=message, hint=hint, data=data))

    def close(self) -> None:
        """Close the display and the log."""
        self._display.close()
        self._log.close()


def _open_log(path: Path) -> RawIOBase:
    """Append to the log, on a line of its own if a killed run left half a line."""
    log = path.open("ab", buffering=0)  # without a buffer, closing cannot fail on a full disk
    with path.open("rb") as written:
        if written.seek(0, os.SEEK_END) > 0:
            written.seek(-1, os.SEEK_END)
            if written.read() != b"\n":
                log.write(b"\n")
    return log


def _measured(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())
