"""Training and evaluation of the VAE. Shapes: B images, D pixels of an image, Z latent dimensions."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shared.datasets import DatasetShape
from shared.model_types.base import DataWarning
from shared.model_types.image_requirements import reconstruction_warnings
from shared.model_types.vae import VaeHyperparameters, check_sampling
from shared.model_types.vae_sampling import GridSampling
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset, ImageDataset
from worker.images import image_grid
from worker.models.base import Generated, OnnxGraph, Sample, StepMetrics, count_parameters
from worker.models.batch_parts import add_figures, parts_of, weighted
from worker.models.evaluation.accuracy_score import TRAINING_IMAGES, classifier_score, images_seen, quantised
from worker.models.health import HealthCheck, LossExploding, NothingLearned
from worker.models.image_model import CHUNK, ImageModel, unit
from worker.models.optimization import ScheduledOptimizer, adam_settings
from worker.models.vae.export import vae_graphs
from worker.models.vae.health import PosteriorCollapse
from worker.models.vae.network import VaeNetwork
from worker.models.vae.sampling import sampled
from worker.seeding import generator

SAMPLE_GRID = GridSampling(points=15)
CLASSIFIER_WEIGHTS = 1_000_000  # a dense network of so many takes as long for an image as the evaluation classifier
ACTIVE_VARIANCE = 0.01  # of a latent's posterior mean over the test images


class Vae(VaeNetwork, ImageModel):
    """The networks, their optimizer and their evaluation on test images."""

    hyperparameters: VaeHyperparameters

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

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put the images on the device and make the optimizer."""
        assert isinstance(dataset, ImageDataset)
        self.use_images(dataset, dataset.train_images.flatten(1), seed=seed)
        self._test_ND = dataset.test_images.flatten(1).to(self.device)
        hyperparameters = self.hyperparameters
        adamw = torch.optim.AdamW(
            self.parameters(),
            weight_decay=hyperparameters.weight_decay,
            **adam_settings(hyperparameters.learning_rate, self.device),
        )
        self._optimizer = ScheduledOptimizer(
            {"optimizer": adamw},
            hyperparameters,
            steps_per_epoch=self.steps_per_epoch(),
            warmup_steps=hyperparameters.warmup_steps,
        )

    def host_step(self, batch: tuple[Tensor, ...]) -> StepMetrics:  # noqa: ARG002 - the same for every batch
        """The learning rate."""
        return {"learning_rate": self._optimizer.next_rate()}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One step down the negative evidence lower bound."""
        (images_BD,) = tensors
        noise_BZ = torch.randn(len(images_BD), self.hyperparameters.latent_size, device=images_BD.device)
        optimizer = self._optimizer["optimizer"]
        optimizer.zero_grad()
        figures: dict[str, Tensor] = {}
        for rows, share in parts_of(len(images_BD), self.batch_parts):
            add_figures(figures, self._add_gradients(images_BD[rows], noise_BZ[rows], share), share)
        if self.hyperparameters.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters(), self.hyperparameters.clip_norm)
        optimizer.step()
        return figures

    def _add_gradients(self, images_BD: Tensor, noise_BZ: Tensor, share: float) -> StepMetrics:
        """Add the gradients of a part of the batch; returns its means."""
        with self.autocast():
            reconstruction, kl = self(unit(images_BD), noise_BZ)
        loss = reconstruction + self.hyperparameters.kl_weight * kl
        weighted(loss, share).backward()
        return {"loss": loss.detach(), "reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Optimizer, and the step that the learning rate follows."""
        return self._optimizer.state()

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore the result of `training_state`."""
        self._optimizer.load(tensors, values)

    def data_warnings(self) -> list[DataWarning]:
        """A warning of very few test images."""
        return reconstruction_warnings(self._dataset.shape)

    def health_checks(self) -> list[HealthCheck]:
        """Checks for an exploding loss, for collapsed latents, and for a model that has learned nothing."""
        return [
            LossExploding(),
            PosteriorCollapse(self.hyperparameters.kl_weight),
            NothingLearned("reconstruction", self._mean_image_error, "the mean image"),
        ]

    def _mean_image_error(self) -> float:
        """Squared error of the training images' mean as the reconstruction of every test image, summed over pixels."""
        images_ND = self._tensors[0]
        mean_D = sum(unit(chunk).sum(dim=0) for chunk in images_ND.split(CHUNK)) / len(images_ND)
        errors = sum((unit(chunk) - mean_D).square().sum() for chunk in self._test_ND.split(CHUNK))
        return float(errors) / len(self._test_ND)

    # --- evaluation and sampling --------------------------------------------------------------------------------

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Losses on the test images, with the same noise every time."""
        random = generator(0)
        totals = torch.zeros(2)
        for images_BD in self._test_ND.split(1000):
            noise_BZ = torch.randn(len(images_BD), self.hyperparameters.latent_size, generator=random)
            losses = self(unit(images_BD), noise_BZ.to(images_BD.device))
            totals += torch.stack(losses).cpu() * len(images_BD)
        reconstruction, kl = (totals / len(self._test_ND)).tolist()
        return {
            "val_loss": reconstruction + self.hyperparameters.kl_weight * kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def final_quality(self) -> dict[str, float]:
        """Metrics on the test images; `elbo` is minus (reconstruction + KL), with weight 1 for the KL.

        active_units: latent dimensions whose posterior mean varies from image to image by more than 0.01 (Burda,
        Grosse & Salakhutdinov 2016, arXiv:1509.00519). reconstruction_accuracy: `classifier_score` of labelled
        reconstructions of training images.
        """
        dataset = self._dataset
        with torch.no_grad():
            training_images = self._tensors[0][:TRAINING_IMAGES].split(CHUNK)
            decoded_ND = torch.cat(
                [quantised(self.decode(self.encode(unit(images))[0])).cpu() for images in training_images]
            )
        images = decoded_ND.view(-1, *self.image_shape)
        score = classifier_score(images, dataset.train_labels[: len(images)], dataset)
        return self.quick_quality() | {"reconstruction_accuracy": score}

    @torch.no_grad()
    def quick_quality(self) -> dict[str, float]:
        """All metrics except `reconstruction_accuracy`."""
        figures = self.evaluate()
        means_NZ = torch.cat([self.encode(unit(images_BD))[0] for images_BD in self._test_ND.split(CHUNK)])
        return figures | {
            "elbo": -figures["reconstruction"] - figures["kl"],
            **active_units(means_NZ),
        }

    def quality_cost(self) -> int:
        """The images that the classifier of `reconstruction_accuracy` sees, at its cost relative to this network's."""
        seen = images_seen(min(TRAINING_IMAGES, len(self._dataset.train_images)))
        return seen * CLASSIFIER_WEIGHTS // count_parameters(self)

    def epoch_samples(self, epoch: int) -> list[Sample]:
        """The latent grid."""
        grid = self.generate(SAMPLE_GRID, seed=0)
        assert grid.images is not None
        meta = {"epoch": epoch, "rows": grid.rows, "columns": grid.columns, **grid.meta}
        return [Sample(name="grid", content=image_grid(grid.images, grid.columns), meta=meta)]

    @torch.inference_mode()
    def generate(
        self,
        sampling: Any,
        *,
        seed: int,
        dataset: Dataset | None = None,
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        """Images of latents, or latents of images."""
        check_sampling(self.hyperparameters, sampling, DatasetShape(kind="images"))
        return sampled(self, sampling, seed, dataset, between_blocks)

    def onnx_graphs(self) -> list[OnnxGraph]:
        """Decoder and encoder."""
        return vae_graphs(self)


def active_units(means_NZ: Tensor) -> dict[str, float]:
    """`active_units`, which needs the posterior means of two images."""
    if len(means_NZ) < 2:
        return {}
    return {"active_units": float((means_NZ.var(dim=0) > ACTIVE_VARIANCE).sum())}
