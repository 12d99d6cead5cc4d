"""The training loop, independent of the model type.

Weights, metric points and the choice of the best checkpoint depend on the position alone, so a resumed run gives the
same ones as an uninterrupted run. Only progress, samples and safety checkpoints depend on time.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from shared import trainer_protocol
from shared.failpoints import failpoint
from worker import device, failures
from worker.checkpoints import local
from worker.checkpoints.manifest import Checkpoint, Manifest
from worker.models.health import Measurements, Stage
from worker.seeding import Stream
from worker.trainer import cadence, samples
from worker.trainer.cadence import CheckpointCadence, SampleCadence, Stopwatch
from worker.trainer.cuda_graphs import CaptureFailed, stepper
from worker.trainer.meter import Meter
from worker.trainer.prepare import Run
from worker.trainer.report import Reporter
from worker.trainer.stop_signal import StopSignal
from worker.trainer.tracking import HealthMonitor, Selection

_READ_EVERY_S = 0.25


class Loop:
    """Trains a run to its end or until a stop request."""

    def __init__(self, run: Run, control: StopSignal, reporter: Reporter) -> None:
        self._run, self._control, self._reporter = run, control, reporter
        self._model = run.model
        self._take_step = stepper(run.model, run.compute, self._report_eager)
        self._epochs: int = run.model.hyperparameters.epochs
        self._steps_per_epoch = run.model.steps_per_epoch()
        self.steps = self._epochs * self._steps_per_epoch
        state = run.start.manifest.loop if run.start else {}
        self.step = run.start.manifest.step if run.start else 0
        self.epoch = min(self.step // self._steps_per_epoch + 1, self._epochs)
        self.selection = Selection(run.spec.contract.selection, state.get("best"))
        self.newest = run.start
        self._meter = Meter(self.steps, state.get("meter"))
        self._health = HealthMonitor(run.model.health_checks(), state.get("health"))
        self._metrics: dict[str, float] = dict(run.start.manifest.metrics) if run.start else {}
        self._stopwatch = Stopwatch()
        self._sampling = SampleCadence(self._epochs, self._stopwatch)
        self._saving = CheckpointCadence(run.spec.checkpoint_every_s)
        self._next_read = 0.0
        self._first_step = self.step

    def train(self) -> bool:
        """Train. True: finished. False: stopped on request. In both cases the newest checkpoint is at the position.

        Raises JobFailure for divergence, and all exceptions of the model.
        """
        if self.step == 0:
            self._show_samples(0)
        while self.step < self.steps:
            self.epoch = self.step // self._steps_per_epoch + 1
            if not self._train_epoch():
                self._save()
                return False
            self._end_epoch()
        return True

    def _train_epoch(self) -> bool:
        """The rest of an epoch. False: a stop was requested."""
        self._model.train()
        first = self.step - (self.epoch - 1) * self._steps_per_epoch
        for number, batch in enumerate(self._model.batches(self.epoch, first), start=first):
            if self._control.stop_requested:
                return False
            self._run.seeder.set(Stream.STEP, self.epoch, number)
            metrics = self._take_step(batch)
            self.step += 1
            self._meter.add(self.step, metrics)
            now = time.monotonic()
            if now >= self._next_read:
                self._read()
            if self._saving.is_due(now) and number + 1 < self._steps_per_epoch:
                self._save()
        assert self.step == self.epoch * self._steps_per_epoch, "batches() must give steps_per_epoch() batches"
        return True

    def _end_epoch(self) -> None:
        self._read()
        values = {"examples_per_s": self._speed()}
        is_best = False
        if cadence.evaluates(self.epoch, self._epochs):
            with self._evaluation_mode():
                evaluation = self._model.evaluate()
            for name, value in evaluation.items():
                if not math.isfinite(value):
                    raise failures.diverged(name, value, self.step)
            self._metrics |= evaluation
            values |= evaluation
            is_best = self.selection.offer({**evaluation, "epoch": self.epoch, "step": self.step}, self.step)
            self.check_health("evaluation", self.step, evaluation)
        self._reporter.emit(trainer_protocol.Metrics(epoch=self.epoch, step=self.step, values=values))
        # Before the checkpoint: a run that is killed between the two repeats the epoch with its samples.
        if self._sampling.is_due(self.epoch):
            self._show_samples(self.epoch)
        if is_best or self.epoch == self._epochs or self._saving.is_due_at_epoch(time.monotonic()):
            self._save()

    def _read(self) -> None:
        """Wait for the device, report new metrics, and check that they are finite."""
        reading = self._meter.read()
        self._next_read = time.monotonic() + _READ_EVERY_S
        if reading.first_nonfinite is not None:
            raise failures.diverged(*reading.first_nonfinite)
        for point in reading.points:
            epoch = (point.step - 1) // self._steps_per_epoch + 1
            self._reporter.emit(trainer_protocol.Metrics(epoch=epoch, step=point.step, values=point.values))
            self._metrics |= point.values
            self.check_health("training", point.step, point.values)
        if reading.recent:
            self._report_progress(reading.recent)

    def _report_progress(self, metrics: dict[str, float]) -> None:
        used, total = device.memory(self._run.compute.device)
        speed = self._speed()
        self._reporter.emit(
            trainer_protocol.Progress(
                epoch=self.epoch,
                step=self.step,
                examples_per_s=speed,
                steps_per_s=speed / self._model.examples_per_step(),
                memory_bytes=used,
                memory_total_bytes=total,
                metrics=metrics,
            )
        )

    def check_health(self, stage: Stage, step: int, values: Mapping[str, float]) -> None:
        """Apply the model's health checks to metrics, and report their warnings."""
        for code, found in self._health.check(Measurements(stage=stage, step=step, values=values)):
            self._reporter.warning(code, found.message, found.hint, step=step, data=found.data)

    def _report_eager(self, error: CaptureFailed) -> None:
        self._reporter.notice("graph_unavailable", f"Steps are launched operation by operation: {error}")

    def _speed(self) -> float:
        return self._stopwatch.speed((self.step - self._first_step) * self._model.examples_per_step())

    def _show_samples(self, epoch: int) -> None:
        """Report samples of the end of an epoch, or of the model before its first step (epoch 0)."""
        before = time.monotonic()
        with self._evaluation_mode():
            generated = self._model.epoch_samples(epoch)
        with self._stopwatch.paused():
            for path, media_type, meta in samples.write(self._run.folder, epoch, generated):
                self._reporter.emit(
                    trainer_protocol.SampleWritten(
                        epoch=epoch, step=self.step, path=path, media_type=media_type, meta=meta
                    )
                )
        self._sampling.sampled(time.monotonic() - before)

    def _evaluation_mode(self) -> AbstractContextManager[None]:
        return evaluation_mode(self._run, self._stopwatch)

    def _save(self) -> None:
        """Write a checkpoint of the current position, unless the newest one is of it."""
        self._read()
        if self.newest is not None and self.newest.manifest.step == self.step:
            return
        with self._stopwatch.paused():
            tensors, values = self._model.training_state()
            self.newest = local.write(
                self._run.folder, self._manifest(values), weights=self._model.state_dict(), training=tensors
            )
            failpoint("checkpoint.complete")
            self._saving.written()
            local.prune(self._run.folder, keep=self._run.spec.keep_checkpoints, best=self.selection.step)
        self._reporter.emit(self._written(self.newest))

    def _manifest(self, training_values: Mapping[str, object]) -> Manifest:
        run = self._run
        return Manifest(
            model_type=run.spec.model_type,
            config=self._model.config(),
            hyperparameters=run.spec.hyperparameters,
            dataset=run.spec.dataset_name,
            seed=run.spec.seed,
            epoch=self.epoch,
            step=self.step,
            step_in_epoch=self.step - (self.epoch - 1) * self._steps_per_epoch,
            metrics=dict(self._metrics),
            training_values=dict(training_values),
            loop={"meter": self._meter.state(), "best": self.selection.state(), "health": self._health.state()},
            versions=dict(run.versions),
            device=run.compute.device.type,
            precision=run.compute.precision,
            backend=run.compute.backend,
            threads=run.compute.threads,
            batch_parts=run.compute.batch_parts,
        )

    def _written(self, checkpoint: Checkpoint) -> trainer_protocol.CheckpointWritten:
        return trainer_protocol.CheckpointWritten(
            epoch=self.epoch,
            step=self.step,
            path=f"{local.FOLDER}/{checkpoint.path.name}",
            sha256=checkpoint.sha256,
            size=checkpoint.size,
            metrics=dict(self._metrics),
            is_best=self.selection.step == self.step,
        )


@contextmanager
def evaluation_mode(run: Run, stopwatch: Stopwatch) -> Iterator[None]:
    """The block runs in evaluation mode, from one fixed seed, with the stopwatch paused.

    The seed is the same in every epoch, so that epochs compare and a resumed run gives the same values.
    """
    run.model.eval()
    run.seeder.set(Stream.LOOK)
    try:
        with stopwatch.paused():
            yield
    finally:
        run.model.train()
