"""One run from its specification to its end."""

from pathlib import Path

from shared import trainer_protocol
from shared.atomic_files import write_synced
from shared.settings import Settings
from worker.models.base import count_parameters
from worker.trainer import finish, prepare
from worker.trainer.event_files import EventFiles
from worker.trainer.loop import Loop
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec
from worker.trainer.stop_signal import StopSignal


def train(spec: TrainerSpec, folder: Path, settings: Settings, control: StopSignal, reporter: Reporter) -> bool:
    """Train to the end, or continue towards it. False: stopped on request, with a checkpoint written.

    A run that has ended already only reports its end again. Raises SpecError, JobFailure, and all exceptions of the
    model.
    """
    run = prepare.prepare(spec, folder, settings, reporter)
    write_synced(folder / "spec.json", spec.model_dump_json(indent=1).encode())
    loop = Loop(run, control, reporter)
    reporter.emit(
        trainer_protocol.Started(
            device=run.compute.device.type,
            precision=run.compute.precision,
            backend=run.compute.backend,
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
    reporter.emit(trainer_protocol.Stopped(epoch=loop.epoch, step=loop.step))
    return False
