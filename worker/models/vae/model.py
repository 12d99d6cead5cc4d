"""Variational autoencoder (Kingma & Welling 2013, arXiv:1312.6114) with dense encoder and decoder.

Shapes: B images, D pixels of an image (channels × height × width), Z latent dimensions.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from shared.model_types.base import DatasetShape
from shared.model_types.vae import GridSampling, VaeHyperparameters, check_sampling
from worker.data import Dataset, ImageDataset
from worker.images import image_grid
from worker.models.base import Generated, GenerativeModel, OnnxGraph, Sample, StepMetrics
from worker.models.evaluation.accuracy_score import TRAINING_IMAGES, classifier_score, quantised
from worker.models.health import HealthCheck, LossExploding
from worker.models.image_graphs import vae_graphs
from worker.models.image_model import CHUNK, unit
from worker.models.optimization import (
    adam_settings,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from worker.models.vae.health import PosteriorCollapse
from worker.models.vae.sampling import sampled
from worker.seeding import epoch_order, generator

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}
SAMPLE_GRID = GridSampling(points=15)
ACTIVE_VARIANCE = 0.01  # of a latent's posterior mean over the test images


def kl_to_standard_normal(mean_BZ: Tensor, log_var_BZ: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) summed over the dimensions, [B]; in nats."""
    return 0.5 * (mean_BZ.square() + log_var_BZ.exp() - 1 - log_var_BZ).sum(dim=1)


def dense(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """Linear layers of these sizes with the activation between them.

    torch's own first weights: their biases spread the hidden units' kinks over the latent plane. Zero biases and
    Glorot weights, Keras's default, cost 3.5 nats after one epoch of Fashion-MNIST.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class Vae(GenerativeModel):
    """Encoder D → hidden → mean and log variance; decoder Z → hidden reversed → D pixels."""

    hyperparameters: VaeHyperparameters

    def __init__(self, hyperparameters: VaeHyperparameters, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.image_shape = image_shape
        channels, height, width = image_shape
        self.pixels = channels * height * width
        hidden, latent = hyperparameters.hidden, hyperparameters.latent_size
        self.encoder = dense((self.pixels, *hidden, 2 * latent), hyperparameters.activation)
        self.decoder = dense((latent, *reversed(hidden), self.pixels), hyperparameters.activation)
        with torch.no_grad():  # finer structure over the latent space from the start
            for parameter in self.decoder[0].parameters():
                parameter.mul_(hyperparameters.latent_spread)

    @classmethod
    def for_data(cls, hyperparameters: VaeHyperparameters, dataset: Dataset) -> "Vae":
        """A fresh model for images of this size."""
        assert isinstance(dataset, ImageDataset)
        return cls(hyperparameters, dataset.image_shape)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Vae":
        """A model of the right shape."""
        channels, height, width = config["image_shape"]
        return cls(VaeHyperparameters.model_validate(config["hyperparameters"]), (channels, height, width))

    def config(self) -> dict[str, Any]:
        """Hyperparameters and image shape."""
        return {
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "image_shape": list(self.image_shape),
        }

    def encode(self, images_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents, [B, Z] each, from pixels in [0, 1]."""
        mean_BZ, log_var_BZ = self.encoder(images_BD).float().chunk(2, dim=1)
        return mean_BZ, log_var_BZ

    def decode(self, z_BZ: Tensor) -> Tensor:
        """Pixels in [0, 1], [B, D]."""
        return torch.sigmoid(self.decoder(z_BZ).float())

    def forward(self, images_BD: Tensor, noise_BZ: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error summed over the pixels (D × the mean squared error) and KL in nats, both averaged over B."""
        mean_BZ, log_var_BZ = self.encode(images_BD)
        pixels_BD = self.decode(mean_BZ + torch.exp(log_var_BZ / 2) * noise_BZ)
        reconstruction = (pixels_BD - images_BD).square().sum(dim=1).mean()
        return reconstruction, kl_to_standard_normal(mean_BZ, log_var_BZ).mean()

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put the images on the device and make the optimizer."""
        assert isinstance(dataset, ImageDataset)
        self._seed = seed
        self._dataset = dataset
        self._images_ND = dataset.train_images.flatten(1).to(self.device)
        self._test_ND = dataset.test_images.flatten(1).to(self.device)
        hyperparameters = self.hyperparameters
        self._drawn = hyperparameters.examples_per_epoch or len(self._images_ND)
        self._optimizer = torch.optim.AdamW(
            self.parameters(),
            weight_decay=hyperparameters.weight_decay,
            **adam_settings(hyperparameters.learning_rate, self.device),
        )
        self._step = 0

    def steps_per_epoch(self) -> int:
        """Steps in one epoch; the last may be smaller."""
        return -(-self._drawn // self.hyperparameters.batch_size)

    def examples_per_step(self) -> int:
        """Images in one step."""
        return min(self.hyperparameters.batch_size, self._drawn)

    def batches(self, epoch: int, first_step: int) -> Iterator[Tensor]:
        """uint8 [B, D]."""
        order = epoch_order(len(self._images_ND), self._drawn, seed=self._seed, epoch=epoch).to(self.device)
        for chosen_B in order.split(self.hyperparameters.batch_size)[first_step:]:
            yield self._images_ND[chosen_B]

    def host_step(self, batch: Tensor) -> StepMetrics:  # noqa: ARG002 - the same for every batch
        """The learning rate."""
        rate = self._rate()
        set_learning_rate(self._optimizer, rate)
        self._step += 1
        return {"learning_rate": torch.tensor(rate)}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One step down the negative evidence lower bound."""
        (images_BD,) = tensors
        noise_BZ = torch.randn(len(images_BD), self.hyperparameters.latent_size, device=images_BD.device)
        with self.autocast():
            reconstruction, kl = self(unit(images_BD), noise_BZ)
        loss = reconstruction + self.hyperparameters.kl_weight * kl
        self._optimizer.zero_grad()
        loss.backward()
        if self.hyperparameters.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters(), self.hyperparameters.clip_norm)
        self._optimizer.step()
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def _rate(self) -> float:
        hyperparameters = self.hyperparameters
        return learning_rate(
            hyperparameters.learning_rate,
            self._step,
            hyperparameters.epochs * self.steps_per_epoch(),
            warmup_steps=hyperparameters.warmup_steps,
            schedule=hyperparameters.schedule,
        )

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Optimizer, and the step that the learning rate follows."""
        return optimizer_tensors("optimizer", self._optimizer), {"step": self._step}

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Undo `training_state`."""
        load_optimizer_tensors("optimizer", self._optimizer, tensors)
        self._step = values["step"]

    def health_checks(self) -> list[HealthCheck]:
        """An exploding loss, and latents that say nothing."""
        return [LossExploding(), PosteriorCollapse(self.hyperparameters.kl_weight)]

    # --- looking at it ------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Losses on the test images, with the same noise every time."""
        draws = generator(0)
        totals = torch.zeros(2)
        for images_BD in self._test_ND.split(1000):
            noise_BZ = torch.randn(len(images_BD), self.hyperparameters.latent_size, generator=draws)
            losses = self(unit(images_BD), noise_BZ.to(images_BD.device))
            totals += torch.stack(losses).cpu() * len(images_BD)
        reconstruction, kl = (totals / len(self._test_ND)).tolist()
        return {
            "val_loss": reconstruction + self.hyperparameters.kl_weight * kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def final_quality(self) -> dict[str, float]:
        """Figures on the test images; `elbo` is minus (reconstruction + KL), whatever the KL's weight in training.

        active_units: latent dimensions whose posterior mean varies from image to image by more than 0.01 (Burda,
        Grosse & Salakhutdinov 2016, arXiv:1509.00519). reconstruction_accuracy: `classifier_score` of labelled
        reconstructions of training images.
        """
        figures = self.evaluate()
        dataset = self._dataset
        with torch.no_grad():
            means_NZ = torch.cat([self.encode(unit(images_BD))[0] for images_BD in self._test_ND.split(CHUNK)])
            learned_from = self._images_ND[:TRAINING_IMAGES].split(CHUNK)
            drawn_ND = torch.cat(
                [quantised(self.decode(self.encode(unit(images))[0])).cpu() for images in learned_from]
            )
        images = drawn_ND.view(-1, *self.image_shape)
        return figures | {
            "elbo": -figures["reconstruction"] - figures["kl"],
            "active_units": float((means_NZ.var(dim=0) > ACTIVE_VARIANCE).sum()),
            "reconstruction_accuracy": classifier_score(images, dataset.train_labels[: len(images)], dataset),
        }

    def epoch_samples(self, epoch: int) -> list[Sample]:
        """The latent grid."""
        grid = self.generate(SAMPLE_GRID, seed=0)
        assert grid.images is not None
        meta = {"epoch": epoch, "rows": grid.rows, "columns": grid.columns, **grid.meta}
        return [Sample(name="grid", content=image_grid(grid.images, grid.columns), meta=meta)]

    @torch.inference_mode()
    def generate(self, sampling: Any, *, seed: int, dataset: Dataset | None = None) -> Generated:
        """Images of latents, or latents of images."""
        check_sampling(self.hyperparameters, sampling, DatasetShape(kind="images"))
        return sampled(self, sampling, seed, dataset)

    def onnx_graphs(self) -> list[OnnxGraph]:
        """Decoder and encoder."""
        return vae_graphs(self)
