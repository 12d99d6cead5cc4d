"""One run from its specification to its end."""

from pathlib import Path

from shared import events
from shared.settings import Settings
from worker.models.protocol import count_parameters
from worker.training import finish, setup
from worker.training.checkpoints import write_durably
from worker.training.control import Control
from worker.training.event_files import EventFiles
from worker.training.loop import Loop
from worker.training.report import Reporter
from worker.training.spec import TrainerSpec


def train(spec: TrainerSpec, folder: Path, settings: Settings, control: Control, reporter: Reporter) -> bool:
    """Train to the end, or continue towards it. False: stopped on request, with a checkpoint written.

    A run that has ended already only says so again. Raises SpecError, JobFailure, and whatever the model raises.
    """
    run = setup.prepare(spec, folder, settings, reporter)
    write_durably(folder / "spec.json", spec.model_dump_json(indent=1).encode())
    loop = Loop(run, control, reporter)
    reporter.emit(
        events.Started(
            device=run.compute.device.type,
            precision=run.compute.precision,
            kernel=run.compute.kernel,
            epochs=run.model.hyperparameters.epochs,
            steps=loop.steps,
            step=loop.step,
            epoch=loop.epoch,
            parameters=count_parameters(run.model),
            versions=dict(run.versions),
        )
    )
    ended = finish.result_of(folder)
    if ended is not None and loop.step == loop.steps:
        reporter.emit(ended)
        return True
    reporter.attach(EventFiles(folder, spec, start=loop.step))
    if loop.train():
        finish.finish(run, loop, control, reporter)
        return True
    reporter.emit(events.Stopped(epoch=loop.epoch, step=loop.step))
    return False
