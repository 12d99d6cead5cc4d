"""The end of a run: the best weights, their full evaluation, and result.json."""

import json
import math
import os
import sys
from pathlib import Path

from shared import events
from shared.crash_points import reach
from shared.events import EXIT_STOPPED
from worker.training import checkpoints
from worker.training.cadence import Stopwatch
from worker.training.checkpoints import Checkpoint, InvalidCheckpoint
from worker.training.control import Control
from worker.training.looking import looking
from worker.training.loop import Loop
from worker.training.report import Reporter
from worker.training.setup import Run

RESULT = "result.json"


def finish(run: Run, loop: Loop, control: Control, reporter: Reporter) -> None:
    """Evaluate the checkpoint to publish and report the end.

    A stop during the evaluation ends the process: all is written, and the next start comes back here.
    """

    def leave() -> None:
        reporter.emit(events.Stopped(epoch=loop.epoch, step=loop.step))
        sys.stdout.flush()
        os._exit(EXIT_STOPPED)

    with control.parked(leave):
        chosen = _chosen(run, loop, reporter)
        if chosen.manifest.step != loop.step:
            run.model.load_state_dict(checkpoints.load_tensors(chosen.path / checkpoints.WEIGHTS))
        with looking(run, Stopwatch()):
            quality = run.model.final_quality()
    for name in [name for name, value in quality.items() if not math.isfinite(value)]:
        reporter.health("quality_not_finite", f"The final evaluation gives {quality.pop(name)} for {name}.")
    loop.watch("quality", loop.step, quality)
    event = events.Finished(
        epoch=loop.epoch, step=loop.step, checkpoint=f"{checkpoints.FOLDER}/{chosen.path.name}", quality=quality
    )
    _write_result(run.folder, event, chosen)
    reporter.emit(event)


def result_of(folder: Path) -> events.Finished | None:
    """How the run in a folder ended, if it did and its published checkpoint is sound."""
    try:
        result = json.loads((folder / RESULT).read_text())
        event = events.Finished.model_validate(result["finished"])
        sound = checkpoints.verify(folder / event.checkpoint).sha256 == result["sha256"]
    except (FileNotFoundError, ValueError, KeyError, InvalidCheckpoint):
        return None
    return event if sound else None


def _chosen(run: Run, loop: Loop, reporter: Reporter) -> Checkpoint:
    """The best checkpoint, or the newest where the best is damaged or gone."""
    newest = loop.newest
    assert newest is not None, "a run that has finished has written its last checkpoint"
    if loop.selection.step is None or loop.selection.step == newest.manifest.step:
        return newest
    path = run.folder / checkpoints.FOLDER / f"{loop.selection.step:08d}"
    try:
        return checkpoints.verify(path)
    except InvalidCheckpoint as error:
        reporter.health("checkpoint_fallback", f"The best checkpoint cannot be used: {error.detail}. The last one is.")
        return newest


def _write_result(folder: Path, event: events.Finished, chosen: Checkpoint) -> None:
    result = {"finished": event.model_dump(), "sha256": chosen.sha256, "metrics": chosen.manifest.metrics}
    temporary = folder / f".{RESULT}"
    checkpoints.write_durably(temporary, json.dumps(result, indent=1).encode())
    reach("result.written")
    temporary.replace(folder / RESULT)
    reach("result.renamed")
