"""Mimeo's implementations: the model's own step as in the loop, the whole loop, and sampling as in generation jobs."""

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count as count_from
from typing import Any, cast

import torch

from benchmarks.speed.cases import Case
from benchmarks.speed.implementations import BenchContext, Implementation, LeftOutError, Ready
from shared import model_types
from shared.settings import Settings
from worker import device
from worker.models import GenerativeModel, implementation
from worker.models.base import count_parameters
from worker.seeding import Stream
from worker.trainer import compute, prepare
from worker.trainer.cuda_graphs import stepper
from worker.trainer.loop import Loop
from worker.trainer.prepare import Run
from worker.trainer.report import JsonLines, Reporter
from worker.trainer.spec import TrainerSpec
from worker.trainer.stop_signal import StopSignal

SEED = 7


def hyperparameters(case: Case) -> dict[str, Any]:
    """The hyperparameters of a case that differ from the book preset."""
    chosen: dict[str, Any] = {"batch_size": case.batch, "epochs": case.epochs}
    examples = case.batch * case.steps_per_epoch
    if case.model_type == "lstm":
        batching = "streams" if case.every_character else "windows"
        chosen |= {"window": case.window, "layers": case.layers, "batching": batching, "validation_split": 0.0}
        examples *= case.window if case.every_character else 1
    return chosen | {"examples_per_epoch": examples}


class Training:
    """One run of the trainer, prepared as the trainer program prepares it."""

    def __init__(self, case: Case, context: BenchContext, *, precision: str) -> None:
        folder = context.folder / f"{case.name}-{precision}-{time.monotonic_ns()}"
        folder.mkdir()
        home = context.folder / "home"
        home.mkdir(exist_ok=True)
        data = context.data
        self._log = (folder / "stdout").open("w")
        self.reporter = Reporter(folder, JsonLines(self._log))
        spec = TrainerSpec(
            model_type=case.model_type,
            dataset=data.names[case.model_type],
            preset="book",
            hyperparameters=hyperparameters(case),
            seed=SEED,
            device="cpu",
            precision=cast(Any, precision),
            threads=context.threads,
        )
        settings = Settings(home=home, datasets_dir=data.folders[case.model_type], offline=True)
        self.run: Run = prepare.prepare(spec.completed(), folder, settings, self.reporter)

    @property
    def about(self) -> str:
        """Precision and backend, for the row."""
        return self.run.compute.precision

    def close(self) -> None:
        """Close the reports and drop the model."""
        self.reporter.close()
        self._log.close()
        del self.run
        gc.collect()

    def ready(self, run: Callable[[int], float], about: str) -> Ready:
        """This run as a prepared implementation."""
        return Ready(run=run, about=about, parameters=count_parameters(self.run.model), close=self.close)


def deterministic(run: Callable[[int], float], count: int) -> float:
    """Run under the trainer's torch settings, which the other implementations in this process do not use."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        return run(count)
    finally:
        torch.use_deterministic_algorithms(False)


# --- training -----------------------------------------------------------------------------------------------------


def steps(run: Run, positions: Iterator[tuple[int, int, Any]], count: int) -> float:
    """Take steps as the loop does, without the rest of the loop. Returns the seconds."""
    take_step = stepper(run.model, run.compute)
    began = time.perf_counter()
    for _ in range(count):
        epoch, number, batch = next(positions)
        run.seeder.set(Stream.STEP, epoch, number)
        take_step(batch)
    return time.perf_counter() - began


def every_batch(model: GenerativeModel) -> Iterator[tuple[int, int, Any]]:
    """Epoch, step and batch, endlessly."""
    for epoch in count_from(1):
        for number, batch in enumerate(model.batches(epoch, 0)):
            yield epoch, number, batch


def prepare_step(case: Case, context: BenchContext, *, precision: str) -> Ready:
    """The model's `training_step` with data, seeding and precision as in the loop."""
    training = Training(case, context, precision=precision)
    training.run.model.train()
    run = partial(steps, training.run, every_batch(training.run.model))
    return training.ready(partial(deterministic, run), training.about)


class SteppingControl:
    """Stops the loop after a number of steps and times them: the loop reads the stop flag before every step.

    So the time includes everything that the loop does from one step to the next, and excludes its last checkpoint.
    """

    def __init__(self) -> None:
        self.begin(0)

    def begin(self, count: int) -> None:
        """Start a new count."""
        self._left = count
        self._began: float | None = None
        self.seconds = 0.0

    @property
    def stop_requested(self) -> bool:
        """Whether enough steps are done."""
        now = time.perf_counter()
        if self._began is None:
            self._began = now
            return self._left == 0
        self._left -= 1
        self.seconds = now - self._began
        return self._left == 0


def loop_steps(loop: Loop, control: SteppingControl, count: int) -> float:
    """Run the trainer's own loop, with its reports and cadences. Returns the seconds."""
    control.begin(count)
    finished = loop.train()
    assert not finished, "the run is longer than what is measured of it"
    return control.seconds


def prepare_loop(case: Case, context: BenchContext) -> Ready:
    """The whole trainer with its loop, in the precision that it chooses."""
    training = Training(case, context, precision="auto")
    control = SteppingControl()
    loop = Loop(training.run, cast(StopSignal, control), training.reporter)
    return training.ready(partial(deterministic, partial(loop_steps, loop, control)), training.about)


def prepare_float32(case: Case, context: BenchContext) -> Ready:
    """The step in float32, where the trainer would choose another precision."""
    chosen = Training(case, context, precision="auto")
    same = chosen.about == "float32"
    chosen.close()
    if same:
        raise LeftOutError("float32 is what the trainer chose")
    return prepare_step(case, context, precision="float32")


# --- sampling -----------------------------------------------------------------------------------------------------


def sampling_of(case: Case) -> dict[str, Any]:
    """The sampling parameters of a generation job."""
    match case.model_type:
        case "lstm":
            return {"length": case.length, "n": case.batch, "temperature": 0.75}
        case "vae":
            return {"mode": "grid", "points": round(case.batch**0.5)}
        case "acgan":
            return {"labels": [index % 10 for index in range(case.batch)], "n_per_label": 1}


def fresh_model(case: Case, context: BenchContext) -> GenerativeModel:
    """An untrained model of the book's layers, built as from a checkpoint: weights do not affect its speed."""
    contract = model_types.get(case.model_type)
    torch.manual_seed(SEED)
    dataset = context.data.datasets[case.model_type]
    fresh = implementation(contract).for_data(contract.resolve("book", hyperparameters(case)), dataset)
    model = implementation(contract).from_config(fresh.config())
    model.load_state_dict(fresh.state_dict())
    return model.eval()


def prepare_sampling(case: Case, context: BenchContext) -> Ready:
    """The whole `generate`: from the request's parameters to the texts or pixels."""
    model = fresh_model(case, context)
    parameters = model_types.get(case.model_type).sampling.validate_python(sampling_of(case))
    seeds = count_from(1)

    def run(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            model.generate(parameters, seed=next(seeds))
        return time.perf_counter() - began

    return Ready(run=run, about="generate()")


IMPLEMENTATIONS = (
    Implementation(
        name="mimeo", title="Mimeo, step", role="ours", kind="training", prepare=partial(prepare_step, precision="auto")
    ),
    Implementation(name="mimeo-loop", title="Mimeo, whole loop", role="ours", kind="training", prepare=prepare_loop),
    Implementation(
        name="mimeo-f32",
        title="Mimeo, step in float32",
        role="ours",
        kind="training",
        prepare=prepare_float32,
    ),
    Implementation(name="mimeo", title="Mimeo", role="ours", kind="sampling", prepare=prepare_sampling),
)


def set_up(threads: int) -> None:
    """Torch's defaults except for the threads: the baselines in this process expect them."""
    compute.set_up(compute.Compute(device=torch.device("cpu"), precision="float32", threads=threads))
    torch.use_deterministic_algorithms(False)


def versions() -> dict[str, str]:
    """Versions of the libraries that compute here."""
    return device.versions(torch.device("cpu")) | {"instructions": torch.backends.cpu.get_cpu_capability()}
