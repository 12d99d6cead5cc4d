"""Auxiliary-classifier GAN (Odena, Olah & Shlens 2017, arXiv:1610.09585): training and evaluation.

The discriminator estimates how real an image is and which class it shows. The generator learns to produce images that
count as real and as of a given class. Shapes: B images, Z latent dimensions, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from shared.datasets import DatasetShape
from shared.model_types.acgan import AcganHyperparameters, AcganSampling, check_sampling, check_training, merged_classes
from worker.data import Dataset, ImageDataset
from worker.models.acgan.export import acgan_graphs
from worker.models.acgan.health import DiscriminatorWon, ModeCollapse
from worker.models.acgan.pair import AcganPair
from worker.models.acgan.sampling import balanced, class_grid, sampled
from worker.models.base import Generated, OnnxGraph, Sample, StepMetrics, require_fit
from worker.models.evaluation.accuracy_score import TRAINING_IMAGES, classifier_score, quantised
from worker.models.evaluation.classifier import EvaluationClassifier, judged
from worker.models.health import HealthCheck, LossExploding
from worker.models.image_model import ImageModel, unit
from worker.models.optimization import ScheduledOptimizer, adam_settings

CHECKPOINT_IMAGES = 2_000  # generated for the evaluation of each checkpoint
FINAL_IMAGES = 10_000


class Acgan(AcganPair, ImageModel):
    """The pair, its two optimizers, and the evaluation of what it generates."""

    drops_last = True

    @classmethod
    def for_data(cls, hyperparameters: AcganHyperparameters, dataset: Dataset) -> "Acgan":
        """A fresh model for images of this size and these classes, merged by `label_map`."""
        assert isinstance(dataset, ImageDataset)
        require_fit(check_training, hyperparameters, dataset)
        label_map = hyperparameters.label_map or tuple(range(len(dataset.class_names)))
        classes = merged_classes(hyperparameters, len(dataset.class_names))
        names = [
            " / ".join(name for name, new in zip(dataset.class_names, label_map, strict=True) if new == label)
            for label in range(classes)
        ]
        return cls(hyperparameters, dataset.image_shape, names)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Acgan":
        """A model of the right shape."""
        hyperparameters = AcganHyperparameters.model_validate(config["hyperparameters"])
        channels, height, width = config["image_shape"]
        model = cls(hyperparameters, (channels, height, width), list(config["class_names"]))
        if hyperparameters.network == "book":
            # A CPU generates images faster with channels first here; training in bfloat16 is slower with them.
            for network in filter(None, (model.generator, model.average)):
                network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return model

    def config(self) -> dict[str, Any]:
        """Hyperparameters, image shape and classes."""
        return {**super().config(), "class_names": self.class_names}

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put images and labels on the device and make both optimizers."""
        assert isinstance(dataset, ImageDataset)
        relabelled = self._relabelled(dataset)
        self.use_images(relabelled, relabelled.train_images, relabelled.train_labels, seed=seed)
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
        self._classifiers: list[EvaluationClassifier] = []  # at most one; a list keeps it out of the state dict

    def _relabelled(self, dataset: ImageDataset) -> ImageDataset:
        label_map = self.hyperparameters.label_map
        if label_map is None:
            return dataset
        new = torch.tensor(label_map)
        train_labels, test_labels = new[dataset.train_labels], new[dataset.test_labels]
        names = tuple(self.class_names)
        return ImageDataset(dataset.name, dataset.train_images, train_labels, dataset.test_images, test_labels, names)

    def host_step(self, batch: tuple[Tensor, ...]) -> StepMetrics:  # noqa: ARG002 - the same for every batch
        """The learning rate, and the step of the average: larger at first, when the generator changes fast."""
        rate = self._optimizer.next_rate()
        step = self._optimizer.step
        self._ema_share.fill_(1 - min(self.hyperparameters.ema, step / (step + 50)))
        return {"learning_rate": rate}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One update of the discriminator, then one of the generator."""
        images, labels_B = tensors
        d_loss, class_accuracy, realness_accuracy = self.discriminator_step(unit(images) * 2 - 1, labels_B)
        g_loss = self.generator_step(len(labels_B) * self.recipe.generator_batches)
        self._update_ema()
        return {
            "d_loss": d_loss,
            "g_loss": g_loss,
            "class_accuracy": class_accuracy,
            "realness_accuracy": realness_accuracy,
        }

    def discriminator_step(self, images: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Separate real images from generated ones, and classes from each other.

        Returns the loss, the share of real images classified right, and the share of all images whose realness has the
        right sign.
        """
        batch, recipe = len(labels_B), self.recipe
        self.generator.train(not recipe.draws_with_running_statistics)
        z_BZ, generated_labels_B = self._noise(batch)
        with self.autocast():
            with torch.no_grad():
                generated = self.generator(z_BZ, generated_labels_B)
            every_label = torch.cat([labels_B, generated_labels_B])
            realness, classes = self.discriminator(torch.cat([images, generated]), every_label)
        loss = recipe.realness_loss(realness[:batch], realness[batch:], self.hyperparameters.soft_label)
        classified = slice(None) if recipe.classifies_generated else slice(0, batch)
        loss = loss + self.hyperparameters.class_weight * cross_entropy(classes[classified], every_label[classified])
        self._optimizer.descend("discriminator", loss)
        is_right = (realness.detach() > 0) == (torch.arange(len(realness), device=self.device) < batch)
        class_is_right = classes[:batch].argmax(dim=1) == labels_B
        return loss.detach(), class_is_right.float().mean(), is_right.float().mean()

    def generator_step(self, batch: int) -> Tensor:
        """Produce images that count as real and as of the class asked for; the discriminator stays as it is."""
        self.generator.train()
        self.discriminator.requires_grad_(False)
        z_BZ, labels_B = self._noise(batch)
        with self.autocast():
            realness_B, classes_BK = self.discriminator(self.generator(z_BZ, labels_B), labels_B)
        weight = self.recipe.generator_class_weight * self.hyperparameters.class_weight
        fooling_loss = self.recipe.fooling_loss(realness_B, self.hyperparameters.soft_label)
        loss: Tensor = fooling_loss + weight * cross_entropy(classes_BK, labels_B)
        self._optimizer.descend("generator", loss)
        self.discriminator.requires_grad_(True)
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
        """Undo `training_state`."""
        self._optimizer.load(tensors, values)

    def health_checks(self) -> list[HealthCheck]:
        """An exploding discriminator loss, a collapsed generator, and a discriminator that has won."""
        return [LossExploding("d_loss", relapses=False), ModeCollapse(), DiscriminatorWon()]

    # --- evaluation and sampling --------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """Figures of some generated images by the evaluation classifier; see `evaluation.classifier.judged`."""
        images, labels_N = balanced(self, CHECKPOINT_IMAGES)
        return judged(self._classifier(), images, labels_N, self._dataset, final=False)

    def final_quality(self) -> dict[str, float]:
        """The same on more images, with the costlier figures, and the accuracy of a classifier of generated images."""
        images, labels_N = balanced(self, TRAINING_IMAGES)
        figures = judged(self._classifier(), images[:FINAL_IMAGES], labels_N[:FINAL_IMAGES], self._dataset, final=True)
        return figures | {"classification_accuracy_score": classifier_score(quantised(images), labels_N, self._dataset)}

    def _classifier(self) -> EvaluationClassifier:
        if not self._classifiers:
            self._classifiers.append(EvaluationClassifier.for_dataset(self._dataset, self.cache_dir))
        return self._classifiers[0]

    def epoch_samples(self, epoch: int) -> list[Sample]:
        """One row per class from the same latents every time, and real images of the class beside it."""
        return [class_grid(self, self._dataset, epoch)]

    def generate(
        self,
        sampling: AcganSampling,
        *,
        seed: int,
        dataset: Dataset | None = None,  # noqa: ARG002 - no sampling of this model reads it
    ) -> Generated:
        """Images ordered by label, then draw."""
        shape = DatasetShape(kind="images", classes=len(self.class_names))
        unmapped = self.hyperparameters.model_copy(update={"label_map": None})
        check_sampling(unmapped, sampling, shape)
        return sampled(self, sampling, seed)

    def onnx_graphs(self) -> list[OnnxGraph]:
        """The generator."""
        return acgan_graphs(self)
