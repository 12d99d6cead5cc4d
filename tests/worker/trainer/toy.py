"""A small real model that can be killed and resumed many times: a noisy two-layer autoencoder of digits.

Run as a program it is the trainer with this model in its registry:
`python -m tests.worker.trainer.toy SPEC.json RUN_DIR [--supervised]`.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, TypeAdapter
from torch import Tensor, nn

from shared import model_types
from shared.datasets import DatasetShape
from shared.model_types.base import Hyperparameters, Measure, ModelType, SamplingParameters
from shared.model_types.training_steps import TrainingSteps
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset, ImageDataset
from worker.models.base import Generated, GenerativeModel, Sample, StepMetrics


class ToyHyperparameters(Hyperparameters):
    epochs: int = Field(4, ge=1, le=100_000)
    batch_size: int = Field(64, ge=1, le=4096)
    learning_rate: float = Field(1e-3, gt=0, le=1e30)
    hidden: int = Field(16, ge=1, le=4096)
    images: int = Field(600, ge=1, le=1437)
    step_s: float = Field(0.0, ge=0, description="Sleep in every step.")
    final_s: float = Field(0.0, ge=0, description="Sleep in the final evaluation.")
    fail_at: int | None = Field(None, description="Step that fails.")
    fail_with: str = "RuntimeError"


class ToySampling(SamplingParameters):
    n: int = Field(4, ge=1, le=1000)
    real: bool = False

    @property
    def reads_dataset(self) -> bool:
        return self.real


class Toy(GenerativeModel):
    selection_metric: ClassVar[str] = "val_loss"
    kill_at: ClassVar[int | None] = None
    hyperparameters: ToyHyperparameters

    def __init__(self, hyperparameters: ToyHyperparameters, pixels: int) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.pixels = pixels
        self.encoder = nn.Sequential(nn.Linear(pixels, hyperparameters.hidden), nn.BatchNorm1d(hyperparameters.hidden))
        self.dropout = nn.Dropout(0.2)
        self.decoder = nn.Linear(hyperparameters.hidden, pixels)

    @classmethod
    def for_data(cls, hyperparameters: Any, dataset: Dataset) -> "Toy":
        assert isinstance(dataset, ImageDataset)
        return cls(hyperparameters, dataset.train_images[0].numel())

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Toy":
        return cls(ToyHyperparameters.model_validate(config["hyperparameters"]), config["pixels"])

    def config(self) -> dict[str, Any]:
        return {"hyperparameters": self.hyperparameters.model_dump(mode="json"), "pixels": self.pixels}

    def forward(self, images_BD: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(self.dropout(torch.tanh(self.encoder(images_BD)))))

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        assert isinstance(dataset, ImageDataset)
        self.seed, self.steps = seed, 0
        device = self.decoder.weight.device
        self.train_BD = dataset.train_images[: self.hyperparameters.images].flatten(1).to(device)
        self.test_BD = dataset.test_images.flatten(1).to(device)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=self.hyperparameters.learning_rate)

    def steps_per_epoch(self) -> int:
        return -(-len(self.train_BD) // self.hyperparameters.batch_size)

    def examples_per_step(self) -> int:
        return self.hyperparameters.batch_size

    def batches(self, epoch: int, first_step: int) -> Iterator[Tensor]:
        order = torch.randperm(
            len(self.train_BD), generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        )
        for step in range(first_step, self.steps_per_epoch()):
            size = self.hyperparameters.batch_size
            yield self.train_BD[order[step * size : (step + 1) * size]].float() / 255

    def training_step(self, batch: Tensor) -> StepMetrics:
        self._stumble()
        figures = super().training_step(batch)
        if self.steps == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return figures

    def host_step(self, batch: Tensor) -> StepMetrics:
        self.steps += 1
        return {"learning_rate": torch.tensor(self.hyperparameters.learning_rate)}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        (batch,) = tensors
        noisy_BD = batch + 0.1 * torch.randn_like(batch)
        loss = nn.functional.mse_loss(self(noisy_BD).float(), batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss.detach()}

    def _stumble(self) -> None:
        time.sleep(self.hyperparameters.step_s)
        if self.hyperparameters.fail_at == self.steps:
            match self.hyperparameters.fail_with:
                case "OutOfMemoryError":
                    torch.empty(1 << 55)
                case "nan":
                    with torch.no_grad():
                        self.decoder.weight.fill_(torch.nan)
                case "spoil":
                    with torch.no_grad():
                        self.decoder.weight.fill_(5.0)
                case message:
                    raise RuntimeError(message)

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        state = self.optimizer.state_dict()["state"]
        return {f"{i}.{name}": value for i, s in state.items() for name, value in s.items()}, {"steps": self.steps}

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.steps = values["steps"]

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        images_BD = self.test_BD.float() / 255
        noisy_BD = images_BD + 0.1 * torch.randn_like(images_BD)
        return {"val_loss": float(nn.functional.mse_loss(self(noisy_BD), images_BD))}

    def final_quality(self) -> dict[str, float]:
        print("final evaluation", flush=True)
        time.sleep(self.hyperparameters.final_s)
        return self.evaluate()

    @torch.no_grad()
    def epoch_samples(self, epoch: int) -> list[Sample]:
        image = self(self.test_BD[:1].float() / 255).view(28, 28)
        pixels = (image * 255).byte().cpu().numpy()
        return [
            Sample(name="first", content=pixels, meta={"index": 0}),
            Sample(name="text", content=f"epoch {epoch}\n"),
        ]

    @torch.no_grad()
    def generate(
        self,
        sampling: Any,
        *,
        seed: int,
        dataset: Dataset | None = None,
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        codes = torch.randn(sampling.n, self.hyperparameters.hidden, generator=torch.Generator().manual_seed(seed))
        images: np.ndarray = torch.sigmoid(self.decoder(codes)).view(-1, 1, 28, 28).numpy()
        return Generated(images=images, rows=1, columns=sampling.n, meta={"codes": codes.shape[1]})


def _no_memory(hyperparameters: Any, dataset: DatasetShape) -> int:
    return 0


def _steps(hyperparameters: ToyHyperparameters, dataset: DatasetShape) -> TrainingSteps:
    size = hyperparameters.batch_size
    return TrainingSteps(per_epoch=-(-(dataset.training_examples or 1438) // size), examples=size)


def _no_check(hyperparameters: Any, dataset: DatasetShape) -> None: ...


_LOSS = Measure(meaning="Squared error.", better="lower")

TOY = ModelType(
    name="toy",
    title="Toy",
    summary="A noisy autoencoder.",
    data_kind="images",
    default_dataset="digits",
    fallback_dataset="digits",
    hyperparameters=ToyHyperparameters,
    sampling=TypeAdapter(ToySampling),
    presets={"fast": {}, "wide": {"hidden": 64}},
    formats=("png", "npy"),
    metrics={"loss": _LOSS, "val_loss": _LOSS},
    quality={"val_loss": _LOSS},
    selection=("val_loss", "min"),
    implementation="tests.worker.trainer.toy:Toy",
    training_bytes=_no_memory,
    training_steps=_steps,
    stored_bytes=_no_memory,
    sampling_bytes=lambda hyperparameters, sampling, dataset: 0,
    check_training=_no_check,
    check_sampling=lambda hyperparameters, sampling, dataset: None,
)


def main() -> int:
    model_types.REGISTRY["toy"] = TOY
    from worker.train import main as trainer

    return trainer()


if __name__ == "__main__":
    sys.exit(main())
