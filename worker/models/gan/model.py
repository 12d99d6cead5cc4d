"""Generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661): training and evaluation.

The networks and the training are those of the ACGAN with one class, without the auxiliary classifier. Training reads no
labels. Shapes: N images.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shared.datasets import DatasetShape
from shared.model_types.base import DataWarning
from shared.model_types.gan import GanHyperparameters, check_sampling, check_training
from shared.model_types.image_requirements import adversarial_warnings
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset, ImageDataset
from worker.models.acgan.adversarial import AdversarialModel
from worker.models.acgan.health import DiscriminatorWon
from worker.models.acgan.networks import BookGenerator
from worker.models.base import Generated, OnnxGraph, Sample, StepMetrics, require_fit
from worker.models.evaluation import sample_metrics
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.unlabelled import feature_network, unlabelled_figures
from worker.models.gan.export import gan_graphs
from worker.models.gan.health import GanModeCollapse
from worker.models.gan.sampling import generate, prior_latents, sample_grid, sampled
from worker.models.health import HealthCheck, LossExploding
from worker.models.image_model import unit


class Gan(AdversarialModel):
    """The pair with one class, and the evaluation of the images that it generates.

    The class adds constants to the networks. In the book's generator it is a factor of 1.
    """

    def __init__(self, hyperparameters: GanHyperparameters, image_shape: tuple[int, int, int]) -> None:
        super().__init__(hyperparameters, image_shape, ["image"])
        self.discriminator.classifier = nn.Identity()
        for network in (self.generator, self.average):
            if isinstance(network, BookGenerator):
                nn.init.ones_(network.embedding.requires_grad_(False).weight)

    @classmethod
    def for_data(cls, hyperparameters: GanHyperparameters, dataset: Dataset) -> "Gan":
        """A fresh model for images of this size."""
        assert isinstance(dataset, ImageDataset)
        require_fit(check_training, hyperparameters, dataset)
        return cls(hyperparameters, dataset.image_shape)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Gan":
        """A model of the right shape."""
        channels, height, width = config["image_shape"]
        return cls(GanHyperparameters.model_validate(config["hyperparameters"]), (channels, height, width))

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put the images on the device and make both optimizers."""
        assert isinstance(dataset, ImageDataset)
        self.start_adversaries(dataset, dataset.train_images, seed=seed)
        self._feature_networks: list[EvaluationClassifier] = []  # at most one; a list keeps it out of the state dict

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One update of the discriminator, then one of the generator."""
        (images,) = tensors
        labels_B = torch.zeros(len(images), dtype=torch.int64, device=images.device)
        d_loss, realness_accuracy, _ = self.discriminator_step(unit(images) * 2 - 1, labels_B)
        g_loss = self.generator_step(len(images) * self.recipe.generator_batches)
        return {"d_loss": d_loss, "g_loss": g_loss, "realness_accuracy": realness_accuracy}

    def data_warnings(self) -> list[DataWarning]:
        """A warning of too few test images."""
        return adversarial_warnings(self._dataset.shape)

    def health_checks(self) -> list[HealthCheck]:
        """Checks for an exploding discriminator loss, a collapsed generator, and a discriminator that has won."""
        return [LossExploding("d_loss", relapses=False), GanModeCollapse(), DiscriminatorWon()]

    # --- evaluation and sampling --------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """Metrics of some generated images; see `evaluation.unlabelled`."""
        return self._figures(sample_metrics.CHECKPOINT_IMAGES, final=False)

    def final_quality(self) -> dict[str, float]:
        """The same on more images, with precision and recall."""
        return self._figures(sample_metrics.FINAL_IMAGES, final=True)

    def quality_cost(self) -> int:
        """Measured: 1,500 images of digits with `fast`."""
        return 3_000

    def _figures(self, count: int, *, final: bool) -> dict[str, float]:
        if not self._feature_networks:
            self._feature_networks.append(feature_network(self._dataset, self.cache_dir))
        images = generate(self, prior_latents(self, count))
        return unlabelled_figures(self._feature_networks[0], images, self._dataset, final=final)

    def epoch_samples(self, epoch: int) -> list[Sample]:
        """Images of the same latents every time, and real images beside them."""
        return [sample_grid(self, self._dataset, epoch)]

    def generate(
        self,
        sampling: Any,
        *,
        seed: int,
        dataset: Dataset | None = None,  # noqa: ARG002 - no sampling of this model reads it
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        """Images in a nearly square grid."""
        channels, height, width = self.image_shape
        shape = DatasetShape(kind="images", channels=channels, height=height, width=width)
        check_sampling(self.hyperparameters, sampling, shape)
        return sampled(self, sampling, seed, between_blocks)

    def onnx_graphs(self) -> list[OnnxGraph]:
        """The generator."""
        return gan_graphs(self)
