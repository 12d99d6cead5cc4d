"""Training of a generator against a discriminator, for models with and without classes.

Shapes: B images, Z latent dimensions, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worker.data import ImageDataset
from worker.models.acgan.classes import with_classes
from worker.models.acgan.health import DiscriminatorWon, ModeCollapse
from worker.models.acgan.pair import AcganPair
from worker.models.base import Adapted, StepMetrics
from worker.models.health import HealthCheck, LossExploding
from worker.models.image_model import ImageModel
from worker.models.optimization import ScheduledOptimizer, adam_settings


class AdversarialModel(AcganPair, ImageModel):
    """The pair, its two optimizers, and one update of each per step."""

    drops_last = True

    def adapted(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> Adapted:
        """Layers of the classes start fresh where the other run has another number of them."""
        now = len(self.class_names)
        return with_classes(self, weights, before=len(config.get("class_names", self.class_names)), now=now)

    def start_adversaries(self, dataset: ImageDataset, *tensors: Tensor, seed: int) -> None:
        """Put the tensors that batches are cut from on the device, and make both optimizers."""
        self.use_images(dataset, *tensors, seed=seed)
        hyperparameters = self.hyperparameters
        betas = (hyperparameters.beta1, hyperparameters.beta2)
        settings = adam_settings(hyperparameters.learning_rate, self.device)
        self._optimizer = ScheduledOptimizer(
            {
                name: torch.optim.Adam(network.parameters(), betas=betas, eps=1e-7, **settings)
                for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
            },
            hyperparameters,
            steps_per_epoch=self.steps_per_epoch(),
        )
        self._ema_share = torch.zeros((), device=self.device)  # of the way from the average to the generator

    def host_step(self, batch: tuple[Tensor, ...]) -> StepMetrics:  # noqa: ARG002 - the same for every batch
        """The learning rate, and the step of the average: larger at first, when the generator changes fast."""
        rate = self._optimizer.next_rate()
        step = self._optimizer.step
        self._ema_share.fill_(1 - min(self.hyperparameters.ema, step / (step + 50)))
        return {"learning_rate": rate}

    def class_loss(self, classes_BK: Tensor, labels_B: Tensor, share: float) -> Tensor:  # noqa: ARG002 - of subclasses
        """The classifier's term of a loss, a scalar; 0 without a classifier. share: of the classifier's weight."""
        return classes_BK.new_zeros(())

    def discriminator_step(self, images: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Separate real images from generated ones, and classes from each other.

        Returns the loss, the share of all images whose realness has the right sign, and the class logits of the real
        images, [B, K].
        """
        batch, recipe = len(labels_B), self.recipe
        self.generator.train(not recipe.generates_with_running_statistics)
        z_BZ, generated_labels_B = self._noise(batch)
        with self.autocast():
            with torch.no_grad():
                generated = self.generator(z_BZ, generated_labels_B)
            every_label = torch.cat([labels_B, generated_labels_B])
            realness, classes = self.discriminator(torch.cat([images, generated]), every_label)
        loss = recipe.realness_loss(realness[:batch], realness[batch:], self.hyperparameters.soft_label)
        classified = slice(None) if recipe.classifies_generated else slice(0, batch)
        loss = loss + self.class_loss(classes[classified], every_label[classified], 1.0)
        self._optimizer.descend("discriminator", loss)
        is_right = (realness.detach() > 0) == (torch.arange(len(realness), device=self.device) < batch)
        return loss.detach(), is_right.float().mean(), classes[:batch].detach()

    def generator_step(self, batch: int) -> Tensor:
        """One update of the generator towards images that are rated as real and as of the requested class.

        The discriminator stays unchanged; the moving average is updated. Returns the loss.
        """
        self.generator.train()
        self.discriminator.requires_grad_(False)
        z_BZ, labels_B = self._noise(batch)
        with self.autocast():
            realness_B, classes_BK = self.discriminator(self.generator(z_BZ, labels_B), labels_B)
        fooling_loss = self.recipe.fooling_loss(realness_B, self.hyperparameters.soft_label)
        loss: Tensor = fooling_loss + self.class_loss(classes_BK, labels_B, self.recipe.generator_class_weight)
        self._optimizer.descend("generator", loss)
        self.discriminator.requires_grad_(True)
        self._update_ema()
        return loss.detach()

    def _noise(self, batch: int) -> tuple[Tensor, Tensor]:
        """Latents [B, Z] and classes [B] to generate images from."""
        z_BZ = self.recipe.latents((batch, self.hyperparameters.latent_size), device=self.device)
        return z_BZ, torch.randint(len(self.class_names), (batch,), device=self.device)

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Move the average towards the generator."""
        if self.average is None:
            return
        kept: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(kept, list(self.generator.parameters()), [self._ema_share] * len(kept))
        for buffer, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            buffer.copy_(new if not buffer.is_floating_point() else torch.lerp(buffer, new, self._ema_share))

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both optimizers; the average is among the weights."""
        return self._optimizer.state()

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Restore the result of `training_state`."""
        self._optimizer.load(tensors, values)

    def health_checks(self) -> list[HealthCheck]:
        """Checks for an exploding discriminator loss, a collapsed generator, and a discriminator that has won."""
        return [LossExploding("d_loss", relapses=False), ModeCollapse(), DiscriminatorWon()]
