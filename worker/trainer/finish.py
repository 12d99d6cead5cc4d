"""The end of a run: the best weights, their evaluation, and result.json."""

import json
import math
import os
import sys
from pathlib import Path

from shared import trainer_protocol
from shared.atomic_files import replace_bytes
from shared.trainer_protocol import EXIT_STOPPED
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, Checkpoint, DamagedCheckpoint, verify
from worker.trainer import quality
from worker.trainer.cadence import Stopwatch
from worker.trainer.loop import Loop, evaluation_mode
from worker.trainer.prepare import Run
from worker.trainer.report import Reporter
from worker.trainer.stop_signal import StopSignal

RESULT = "result.json"


def finish(run: Run, loop: Loop, control: StopSignal, reporter: Reporter) -> None:
    """Evaluate the checkpoint to publish and report the end.

    A stop during the evaluation ends the process: the checkpoint is on disk, and the next start repeats the evaluation.
    """

    def leave() -> None:
        reporter.emit(trainer_protocol.Stopped(epoch=loop.epoch, step=loop.step))
        sys.stdout.flush()
        os._exit(EXIT_STOPPED)

    with control.interruptible(leave):
        chosen = _chosen(run, loop, reporter)
        if chosen.manifest.step != loop.step:
            run.model.load_state_dict(local.load_tensors(chosen.path / WEIGHTS))
        with evaluation_mode(run, Stopwatch()):
            figures = quality.evaluate(run, loop, reporter)
    for name in [name for name, value in figures.items() if not math.isfinite(value)]:
        message = f"The final evaluation gives {figures.pop(name)} for {name}."
        reporter.warning("quality_not_finite", message, None, step=loop.step, data={"name": name})
    loop.check_health("quality", loop.step, figures)
    event = trainer_protocol.Finished(
        epoch=loop.epoch, step=loop.step, checkpoint=f"{local.FOLDER}/{chosen.path.name}", quality=figures
    )
    _write_result(run.folder, event, chosen)
    reporter.emit(event)


def result_of(folder: Path) -> trainer_protocol.Finished | None:
    """The end of the run in a folder; None if it has not ended or its published checkpoint is damaged."""
    try:
        result = json.loads((folder / RESULT).read_text())
        event = trainer_protocol.Finished.model_validate(result["finished"])
        is_valid = verify(folder / event.checkpoint).sha256 == result["sha256"]
    except (FileNotFoundError, ValueError, KeyError, DamagedCheckpoint):
        return None
    return event if is_valid else None


def _chosen(run: Run, loop: Loop, reporter: Reporter) -> Checkpoint:
    """The best checkpoint, or the newest where the best is damaged or missing."""
    newest = loop.newest
    assert newest is not None, "a run that has finished has written its last checkpoint"
    if loop.selection.step is None or loop.selection.step == newest.manifest.step:
        return newest
    path = run.folder / local.FOLDER / f"{loop.selection.step:08d}"
    try:
        return verify(path)
    except DamagedCheckpoint as error:
        reporter.notice(
            "checkpoint_fallback", f"The best checkpoint cannot be used: {error.detail}. The last one is used."
        )
        return newest


def _write_result(folder: Path, event: trainer_protocol.Finished, chosen: Checkpoint) -> None:
    result = {"finished": event.model_dump(), "sha256": chosen.sha256, "metrics": chosen.manifest.metrics}
    replace_bytes(folder / RESULT, json.dumps(result, indent=1).encode())
