"""The run for TensorBoard: RUN_DIR/tensorboard holds event files with curves, samples and hyperparameters.

    RUN_DIR/tensorboard/events.out.tfevents.00000001   finished files, never changed again, read in the order of their
                        events.out.tfevents.00000002   names; the last one grows until the next checkpoint ends it

A file ends before its checkpoint is reported, so every reported checkpoint comes with all points up to it. The first
file of a resumed run begins with SessionLog.START and its first step: TensorBoard then drops the points that a killed
run wrote after that checkpoint. Writes are unbuffered, so reported events survive a SIGKILL.
"""

import os
import time
from io import RawIOBase
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.record_writer import RecordWriter

from shared import trainer_protocol
from worker.trainer.spec import TrainerSpec

FOLDER = "tensorboard"
PREFIX = "events.out.tfevents."  # TensorBoard finds its files by "tfevents"


class EventFiles:
    """Writes the event files of one run. start: steps done already."""

    def __init__(self, run_dir: Path, spec: TrainerSpec, *, start: int) -> None:
        self._run_dir, self._folder = run_dir, run_dir / FOLDER
        self._folder.mkdir(exist_ok=True)
        numbers = (path.name.removeprefix(PREFIX) for path in self._folder.glob(f"{PREFIX}*"))
        self._number = max((int(number) for number in numbers if number.isdigit()), default=0)
        self._file: RawIOBase | None = None
        self._step = start
        if start:
            self._write(Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)))
        else:
            self._write(_event(0, text("hyperparameters", _table(spec))))

    def take(self, event: trainer_protocol.Event) -> trainer_protocol.EventFileWritten | None:
        """Write an event. Returns the file that the event ends, if any. Raises OSError."""
        match event:
            case trainer_protocol.Metrics():
                self._write(_event(event.step, *(scalar(name, value) for name, value in event.values.items())))
            case trainer_protocol.SampleWritten():
                self._write(_event(event.step, self._sample(event)))
            case trainer_protocol.Notice():
                message = f"{event.message} {event.hint}" if event.hint else event.message
                self._write(
                    _event(self._step if event.step is None else event.step, text(f"health/{event.code}", message))
                )
            case trainer_protocol.Finished():
                values = (scalar(f"quality/{name}", value) for name, value in event.quality.items())
                self._write(_event(event.step, *values))
                return self.end_file(event.step)
            case trainer_protocol.CheckpointWritten() | trainer_protocol.Stopped():
                return self.end_file(event.step)
            case trainer_protocol.Failed():
                return self.end_file(self._step)
            case _:
                pass
        return None

    def end_file(self, step: int) -> trainer_protocol.EventFileWritten | None:
        """End the open file, if there is one. Later events go into a new file."""
        self._step = max(self._step, step)
        if self._file is None:
            return None
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        return trainer_protocol.EventFileWritten(step=step, path=f"{FOLDER}/{self._name()}")

    def _sample(self, event: trainer_protocol.SampleWritten) -> Summary.Value:
        data = (self._run_dir / event.path).read_bytes()
        name = "samples/" + Path(event.path).stem.removeprefix(f"epoch-{event.epoch:04d}-")
        if event.media_type != "image/png":
            return text(name, "    " + data.decode("utf-8", "replace").replace("\n", "\n    "))  # as it is, in Markdown
        size = {"height": event.meta["height"], "width": event.meta["width"]}
        image = Summary.Image(**size, colorspace=3, encoded_image_string=data)
        return Summary.Value(tag=name, image=image)

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        if self._file is None:
            self._number += 1
            self._file = (self._folder / self._name()).open("xb", buffering=0)
            self._records = RecordWriter(self._file)
            self._write(Event(file_version="brain.Event:2"))
        self._step = max(self._step, event.step) if event.HasField("summary") else self._step
        self._records.write(event.SerializeToString())

    def _name(self) -> str:
        return f"{PREFIX}{self._number:08d}"


def scalar(tag: str, value: float) -> Summary.Value:
    """A point of a curve."""
    return Summary.Value(tag=tag, simple_value=value)


def text(tag: str, markdown: str) -> Summary.Value:
    """A text, shown as Markdown."""
    plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype=DT_STRING, string_val=[markdown.encode()], tensor_shape=shape)
    return Summary.Value(tag=tag, metadata=plugin, tensor=tensor)


def _event(step: int, *values: Summary.Value) -> Event:
    return Event(step=step, summary=Summary(value=values))


def _table(spec: TrainerSpec) -> str:
    rows = {"model_type": spec.model_type, "dataset": spec.dataset_name, "preset": spec.preset, "seed": spec.seed}
    lines = (f"| {name} | {value} |" for name, value in (rows | spec.hyperparameters).items())
    return "\n".join(["| setting | value |", "|---|---|", *lines])
