"""The fourth model type: a linear autoencoder of noisy images."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.fourth_type.contract import GridSampling, Priority, SketchHyperparameters
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset, ImageDataset
from worker.models.base import Generated, GenerativeModel, Sample, StepMetrics
from worker.models.optimization import load_optimizer_tensors, optimizer_tensors

SEED = 11  # of an epoch's samples


class Sketch(GenerativeModel):
    hyperparameters: SketchHyperparameters

    def __init__(self, hyperparameters: SketchHyperparameters, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.hyperparameters, self.shape = hyperparameters, shape
        channels, height, width = shape
        pixels = channels * height * width
        self.encoder, self.decoder = nn.Linear(pixels, hyperparameters.codes), nn.Linear(hyperparameters.codes, pixels)
        self.weight_P = torch.ones(pixels)
        self.weight_P[pixels // 4 : 3 * pixels // 4] = 2.0 if hyperparameters.focus is Priority.CENTRE else 0.5

    @classmethod
    def for_data(cls, hyperparameters: Any, dataset: Dataset) -> "Sketch":
        assert isinstance(dataset, ImageDataset)
        shape = dataset.shape
        return cls(hyperparameters, (shape.channels, shape.height, shape.width))

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Sketch":
        channels, height, width = config["shape"]
        hyperparameters = SketchHyperparameters.model_validate(config["hyperparameters"])
        return cls(hyperparameters, (channels, height, width))

    def config(self) -> dict[str, Any]:
        return {"hyperparameters": self.hyperparameters.model_dump(mode="json"), "shape": list(self.shape)}

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        assert isinstance(dataset, ImageDataset)
        self.seed = seed
        self.train_BP = dataset.train_images.flatten(1).to(self.device)
        self.test_BP = dataset.test_images.flatten(1).to(self.device)
        self.weight_P = self.weight_P.to(self.device)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=self.hyperparameters.learning_rate)

    @property
    def examples(self) -> int:
        return min(self.hyperparameters.examples_per_epoch or len(self.train_BP), len(self.train_BP))

    def steps_per_epoch(self) -> int:
        return -(-self.examples // self.hyperparameters.batch_size)

    def examples_per_step(self) -> int:
        return min(self.hyperparameters.batch_size, self.examples)

    def batches(self, epoch: int, first_step: int) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.train_BP), generator=generator)[: self.examples]
        for chosen_B in order.split(self.hyperparameters.batch_size)[first_step:]:
            yield self.train_BP[chosen_B].float() / 255

    def host_step(self, batch: Tensor) -> StepMetrics:
        return {"learning_rate": torch.tensor(self.hyperparameters.learning_rate)}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        (images_BP,) = tensors
        noisy_BP = images_BP + self.hyperparameters.noise * torch.randn_like(images_BP)
        with self.autocast():
            drawn_BP = self.decoder(self.encoder(noisy_BP))
        error = (self.weight_P * (drawn_BP.float() - images_BP) ** 2).mean()
        self.optimizer.zero_grad()
        error.backward()
        self.optimizer.step()
        return {"error": error.detach()}

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return optimizer_tensors("adam", self.optimizer), {}

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        load_optimizer_tensors("adam", self.optimizer, tensors)

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        images_BP = self.test_BP.float() / 255
        return {"val_loss": float(nn.functional.mse_loss(self.decoder(self.encoder(images_BP)), images_BP))}

    @torch.no_grad()
    def final_quality(self) -> dict[str, float]:
        return {**self.evaluate(), "spread": float(self.encoder(self.test_BP.float() / 255).std())}

    def epoch_samples(self, epoch: int) -> list[Sample]:
        image_HW = self._decode_random(1, SEED)[0, 0]
        return [Sample(name="sketch", content=(image_HW * 255).byte().cpu().numpy(), meta={"epoch": epoch})]

    def generate(
        self,
        sampling: Any,
        *,
        seed: int,
        dataset: Dataset | None = None,
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        if isinstance(sampling, GridSampling):
            side = sampling.side
            return Generated(images=self._decode_random(side**2, seed).cpu().numpy(), rows=side, columns=side)
        images = self._decode_random(sampling.count, seed)
        if sampling.shades is not None:
            dark, light = sampling.shades
            images = dark + (light - dark) * images
        images = 1 - images if sampling.inverted else images
        return Generated(images=images.cpu().numpy(), rows=1, columns=sampling.count, meta={"seed": seed})

    @torch.no_grad()
    def _decode_random(self, count: int, seed: int) -> Tensor:
        """Images [N, C, H, W] in [0, 1] of random latent codes."""
        codes_NZ = torch.randn(count, self.hyperparameters.codes, generator=torch.Generator().manual_seed(seed))
        images: Tensor = self.decoder(codes_NZ.to(self.device))
        return images.clamp(0, 1).view(count, *self.shape)
