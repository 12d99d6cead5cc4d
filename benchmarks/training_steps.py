"""Models on their built-in data, in training as in the trainer; for checks that compare and benchmarks that time."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from shared.model_types import ModelType
from worker.data import Dataset, load
from worker.models import GenerativeModel, implementation
from worker.seeding import Seeder, Stream
from worker.trainer import cuda_graphs
from worker.trainer.compute import Compute, set_up

SEED = 7


def model_and_data(kind: ModelType, preset: str, **overrides: Any) -> tuple[GenerativeModel, Dataset]:
    """A fresh model on the processor, not yet training, and its data."""
    dataset = load(kind.fallback_dataset, datasets_dir=None, home=Path("unused"), offline=True)
    torch.manual_seed(SEED)
    return implementation(kind).for_data(kind.resolve(preset, overrides), dataset), dataset


@dataclass
class Training:
    """A model in training, and the seeds and batches of its steps."""

    model: GenerativeModel
    compute: Compute

    @classmethod
    def fresh(cls, kind: ModelType, preset: str, compute: Compute, **overrides: Any) -> "Training":
        """From its first weights, under the trainer's settings."""
        set_up(compute)
        torch.backends.cudnn.allow_tf32 = True  # torch's default, which the comparison with a processor changed
        model, dataset = model_and_data(kind, preset, **overrides)
        model.to(compute.device).train()
        model.batch_parts = compute.batch_parts
        model.start_training(dataset, seed=SEED)
        return cls(model, compute)

    def steps(self, first: int, last: int) -> list[dict[str, float]]:
        """Take steps `first` to `last` of the first epochs. Returns the metrics of each."""
        seeder, take_step = Seeder(SEED, self.compute.device), cuda_graphs.stepper(self.model, self.compute)
        metrics = []
        for number in range(first, last):
            epoch, step = divmod(number, self.model.steps_per_epoch())
            batch = next(iter(self.model.batches(epoch + 1, step)))
            seeder.set(Stream.STEP, epoch + 1, step)
            metrics.append({name: float(value) for name, value in take_step(batch).items()})
        return metrics


def stepper(kind: ModelType, preset: str, compute: Compute, **overrides: Any) -> Callable[[int], float]:
    """A function that takes n training steps under the trainer's settings. It returns the last metric."""
    model = Training.fresh(kind, preset, compute, **overrides).model
    take_step = cuda_graphs.stepper(model, compute)
    seeder = Seeder(SEED, compute.device)
    batches = chain.from_iterable(model.batches(epoch, 0) for epoch in count(1))

    def steps(number: int) -> float:
        for step in range(number):
            seeder.set(Stream.STEP, 1, step)
            metrics = take_step(next(batches))
        if compute.device.type == "cuda":
            torch.cuda.synchronize(compute.device)
        return float(next(iter(metrics.values())))

    return steps
