"""The trainer in this process, or in a child process that can be killed and needs no import of torch."""

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

from shared import model_types, trainer_protocol
from shared.settings import Settings
from shared.trainer_protocol import EVENT, Event
from tests.worker.trainer import toy
from worker import train
from worker.checkpoints.manifest import seal
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec
from worker.trainer.stop_signal import StopSignal

children = multiprocessing.get_context("forkserver")
children.set_forkserver_preload(
    [
        "tests.worker.trainer.toy",
        "worker.trainer.run",
        "torch._dynamo",
        "tests.engine.programs",
    ]
)


class ReportBuffer:
    """A display that records its events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def show(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None: ...

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def toy_spec(*, hyperparameters: dict[str, Any] | None = None, **fields: Any) -> TrainerSpec:
    body = {"model_type": "toy", "seed": 7, "threads": 1, "hyperparameters": hyperparameters or {}, **fields}
    return TrainerSpec.model_validate(body).completed()


def run(folder: Path, spec: TrainerSpec, control: StopSignal | None = None) -> tuple[int, ReportBuffer]:
    """The trainer program from its parsed command line on, in this process. Returns the exit status and the events."""
    folder.mkdir(parents=True, exist_ok=True)
    report_buffer = ReportBuffer()
    reporter = Reporter(folder, report_buffer)
    settings = Settings(home=folder.parent / "home", offline=True)
    try:
        return train.run(spec, folder, settings, control or StopSignal(), reporter), report_buffer
    finally:
        reporter.close()


def start(folder: Path, spec: TrainerSpec, *, kill_at: int | None = None) -> Any:
    """The whole trainer program as a child process; with kill_at, SIGKILL reaches it after that step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "asked.json").write_text(spec.model_dump_json())
    child = children.Process(target=_child, args=(folder, kill_at), daemon=True)
    child.start()
    return child


def _child(folder: Path, kill_at: int | None) -> None:
    output = os.open(folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {"MIMEO_HOME": str(folder.parent / "home"), "MIMEO_OFFLINE": "1"}
    model_types.REGISTRY["toy"] = toy.TOY
    toy.Toy.kill_at = kill_at
    sys.exit(train.main([str(folder / "asked.json"), str(folder)]))


def logged(folder: Path) -> list[Event]:
    """The logged events of a run, without partial lines."""
    found = []
    for line in (folder / "events.jsonl").read_text().splitlines():
        try:
            found.append(EVENT.validate_json(line))
        except ValueError:
            continue
    return found


def curves(logged_events: list[Event]) -> dict[tuple[str, int], float]:
    """Metric points by name and step, without the speed. The later one replaces a repeated point."""
    return {
        (name, event.step): value
        for event in logged_events
        if isinstance(event, trainer_protocol.Metrics)
        for name, value in event.values.items()
        if name != "examples_per_s"
    }


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def as_written_before(checkpoint: Path, kernel: str | None) -> None:
    """Rewrite a checkpoint's manifest as of an earlier version: `kernel` instead of `backend`, or neither."""
    path = checkpoint / "manifest.json"
    values = json.loads(path.read_text())
    del values["backend"]
    path.write_text(json.dumps(seal(values | ({"kernel": kernel} if kernel else {}))))
