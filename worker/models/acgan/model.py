"""Auxiliary-classifier GAN (Odena, Olah & Shlens 2017, arXiv:1610.09585).

The discriminator says of an image how real it is and which class it shows; the generator, told a class, learns to be
called real and of that class. Shapes: B images, Z latent dimensions, K classes.
"""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from shared.model_types.acgan import AcganHyperparameters, AcganSampling, check_sampling, check_training, merged_classes
from shared.model_types.base import DatasetShape
from worker.data import Dataset, ImageDataset
from worker.models.acgan.health import DiscriminatorWon, ModeCollapse
from worker.models.acgan.networks import NETWORKS, BookDiscriminator
from worker.models.acgan.sampling import balanced, class_grid, sampled
from worker.models.base import Generated, GenerativeModel, Kernel, OnnxGraph, Sample, StepMetrics, require_fit
from worker.models.evaluation.accuracy_score import TRAINING_IMAGES, classifier_score, quantised
from worker.models.evaluation.classifier import EvaluationClassifier, judged
from worker.models.health import HealthCheck, LossExploding
from worker.models.image_graphs import acgan_graphs
from worker.models.image_model import unit
from worker.models.optimization import (
    adam_settings,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
    set_learning_rate,
)
from worker.seeding import epoch_order

CHEAP_IMAGES = 2_000  # that every checkpoint is judged by
FINAL_IMAGES = 10_000


class Acgan(GenerativeModel):
    """A generator, a discriminator, and the generator's moving average, which is what draws."""

    hyperparameters: AcganHyperparameters

    def __init__(
        self, hyperparameters: AcganHyperparameters, image_shape: tuple[int, int, int], class_names: list[str]
    ) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.image_shape = image_shape
        self.class_names = class_names
        make_generator, make_discriminator = NETWORKS[hyperparameters.network]
        self.generator = make_generator(hyperparameters, image_shape, len(class_names))
        self.discriminator = make_discriminator(hyperparameters, image_shape, len(class_names))
        self.average = deepcopy(self.generator).requires_grad_(False) if hyperparameters.ema else None
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing in its annotations

    @classmethod
    def for_data(cls, hyperparameters: AcganHyperparameters, dataset: Dataset) -> "Acgan":
        """A fresh model for images of this size and these classes, merged as `label_map` says."""
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
        return cls(hyperparameters, (channels, height, width), list(config["class_names"]))

    def config(self) -> dict[str, Any]:
        """Hyperparameters, image shape and classes."""
        return {
            "hyperparameters": self.hyperparameters.model_dump(mode="json"),
            "image_shape": list(self.image_shape),
            "class_names": self.class_names,
        }

    @classmethod
    def kernels(cls, hyperparameters: AcganHyperparameters) -> tuple[Kernel, ...]:
        """The published discriminator's activations can be Mimeo's own."""
        return ("library", "compiled") if hyperparameters.network == "book" else ("library",)

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put images and labels on the device and make both optimizers."""
        assert isinstance(dataset, ImageDataset)
        hyperparameters = self.hyperparameters
        self._seed = seed
        self._dataset = self._relabelled(dataset)
        self._images = dataset.train_images.to(self.device)
        self._labels = self._dataset.train_labels.to(self.device)
        self._drawn = hyperparameters.examples_per_epoch or len(self._images)
        betas = (hyperparameters.beta1, hyperparameters.beta2)
        settings = adam_settings(hyperparameters.learning_rate, self.device)
        self._optimizers = {
            name: torch.optim.Adam(network.parameters(), betas=betas, eps=1e-7, **settings)
            for name, network in (("generator", self.generator), ("discriminator", self.discriminator))
        }
        self._follows = torch.zeros((), device=self.device)  # share of the way that the average goes in this step
        self._step = 0
        self._judges: list[
            EvaluationClassifier
        ] = []  # at most one; in a list, so that it does not become a part of the model

    def _relabelled(self, dataset: ImageDataset) -> ImageDataset:
        label_map = self.hyperparameters.label_map
        if label_map is None:
            return dataset
        new = torch.tensor(label_map)
        train_labels, test_labels = new[dataset.train_labels], new[dataset.test_labels]
        names = tuple(self.class_names)
        return ImageDataset(dataset.name, dataset.train_images, train_labels, dataset.test_images, test_labels, names)

    def steps_per_epoch(self) -> int:
        """Steps in one epoch, of one update of each network; only whole batches."""
        return max(1, self._drawn // self.hyperparameters.batch_size)

    def examples_per_step(self) -> int:
        """Real images in one step."""
        return min(self.hyperparameters.batch_size, self._drawn)

    def batches(self, epoch: int, first_step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 [B, C, H, W] and labels int64 [B]."""
        order = epoch_order(len(self._images), self._drawn, seed=self._seed, epoch=epoch).to(self.device)
        for chosen_B in order.split(self.hyperparameters.batch_size)[first_step : self.steps_per_epoch()]:
            yield self._images[chosen_B], self._labels[chosen_B]

    def host_step(self, batch: tuple[Tensor, Tensor]) -> StepMetrics:  # noqa: ARG002 - the same for every batch
        """The learning rate, and how far the average follows: faster at first, when the generator changes fast."""
        rate = self._rate()
        for optimizer in self._optimizers.values():
            set_learning_rate(optimizer, rate)
        self._step += 1
        self._follows.fill_(1 - min(self.hyperparameters.ema, self._step / (self._step + 50)))
        return {"learning_rate": torch.tensor(rate)}

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One update of the discriminator, then one of the generator."""
        images, labels_B = tensors
        if isinstance(self.discriminator, BookDiscriminator):
            self.discriminator.kernel = self.kernel
        d_loss, right, told_apart = self.discriminator_step(unit(images) * 2 - 1, labels_B)
        # The published generator step sees as many images as the discriminator's: real and generated together.
        g_loss = self.generator_step(len(labels_B) * (2 if self._is_book else 1))
        self._update_ema()
        return {"d_loss": d_loss, "g_loss": g_loss, "class_accuracy": right, "realness_accuracy": told_apart}

    def _rate(self) -> float:
        hyperparameters = self.hyperparameters
        total = hyperparameters.epochs * self.steps_per_epoch()
        peak, schedule = hyperparameters.learning_rate, hyperparameters.schedule
        return learning_rate(peak, self._step, total, warmup_steps=0, schedule=schedule)

    @property
    def _is_book(self) -> bool:
        return self.hyperparameters.network == "book"

    def discriminator_step(self, images: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tell real images from generated ones, and classes apart.

        Loss, share of real images classed right, and share of all images whose realness has the right sign.
        """
        batch = len(labels_B)
        self.generator.train(
            not self._is_book
        )  # the published discriminator meets images drawn with running statistics
        z_BZ, drawn_B = self._noise(batch)
        with self.autocast():
            with torch.no_grad():
                generated = self.generator(z_BZ, drawn_B)
            every_label = torch.cat([labels_B, drawn_B])
            realness, classes = self.discriminator(torch.cat([images, generated]), every_label)
        loss = self._realness_loss(realness[:batch], realness[batch:])
        # Odena's classifier learns from generated images as well; where the label reaches the discriminator anyway,
        # learning from real ones alone keeps it from agreeing with the generator's mistakes.
        judged_on = slice(None) if self._is_book else slice(0, batch)
        loss = loss + self.hyperparameters.class_weight * cross_entropy(classes[judged_on], every_label[judged_on])
        self._descend("discriminator", loss)
        told_apart = (realness.detach() > 0) == (torch.arange(len(realness), device=self.device) < batch)
        right = classes[:batch].argmax(dim=1) == labels_B
        return loss.detach(), right.float().mean(), told_apart.float().mean()

    def generator_step(self, batch: int) -> Tensor:
        """Be called real, and of the class asked for. The discriminator stays as it is, its gradients too."""
        self.generator.train()
        self.discriminator.requires_grad_(False)
        z_BZ, labels_B = self._noise(batch)
        with self.autocast():
            realness_B, classes_BK = self.discriminator(self.generator(z_BZ, labels_B), labels_B)
        wanted = (
            -realness_B.mean() if not self._is_book else _bce_with_label(realness_B, self.hyperparameters.soft_label)
        )
        weight = self.hyperparameters.class_weight if self._is_book else 0.1 * self.hyperparameters.class_weight
        loss = wanted + weight * cross_entropy(classes_BK, labels_B)
        self._descend("generator", loss)
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _realness_loss(self, real_B: Tensor, generated_B: Tensor) -> Tensor:
        """Binary cross-entropy with a softened `real` (book), or the hinge (Lim & Ye 2017, arXiv:1705.02894)."""
        if self._is_book:
            return (_bce_with_label(real_B, self.hyperparameters.soft_label) + _bce_with_label(generated_B, 0.0)) / 2
        return torch.relu(1 - real_B).mean() + torch.relu(1 + generated_B).mean()

    def _descend(self, name: str, loss: Tensor) -> None:
        optimizer = self._optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def _noise(self, batch: int) -> tuple[Tensor, Tensor]:
        """Latents [B, Z] and classes [B] to draw images from."""
        shape = (batch, self.hyperparameters.latent_size)
        z_BZ = (
            torch.rand(shape, device=self.device) * 2 - 1 if self._is_book else torch.randn(shape, device=self.device)
        )
        return z_BZ, torch.randint(len(self.class_names), (batch,), device=self.device)

    @torch.no_grad()
    def _update_ema(self) -> None:
        """Move the average towards the generator."""
        if self.average is None:
            return
        kept: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(kept, list(self.generator.parameters()), [self._follows] * len(kept))
        for buffer, new in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            buffer.copy_(new if not buffer.is_floating_point() else torch.lerp(buffer, new, self._follows))

    def training_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Both optimizers; the average is among the weights."""
        tensors: dict[str, Tensor] = {}
        for name, optimizer in self._optimizers.items():
            tensors |= optimizer_tensors(name, optimizer)
        return tensors, {"step": self._step}

    def load_training_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Undo `training_state`."""
        for name, optimizer in self._optimizers.items():
            load_optimizer_tensors(name, optimizer, tensors)
        self._step = values["step"]

    def health_checks(self) -> list[HealthCheck]:
        """An exploding discriminator loss, a collapsed generator, and a discriminator that has won."""
        return [LossExploding("d_loss", relapses=False), ModeCollapse(), DiscriminatorWon()]

    # --- looking at it ------------------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """What an independent judge says of a few generated images; see `judge.judged`."""
        images, labels_N = balanced(self, CHEAP_IMAGES)
        return judged(self._judge(), images, labels_N, self._dataset, final=False)

    def final_quality(self) -> dict[str, float]:
        """The same on more images, with the dearer figures and what a classifier can learn from the images alone."""
        images, labels_N = balanced(self, TRAINING_IMAGES)
        figures = judged(self._judge(), images[:FINAL_IMAGES], labels_N[:FINAL_IMAGES], self._dataset, final=True)
        return figures | {"classification_accuracy_score": classifier_score(quantised(images), labels_N, self._dataset)}

    def _judge(self) -> EvaluationClassifier:
        if not self._judges:
            self._judges.append(EvaluationClassifier.for_dataset(self._dataset, self.cache_dir))
        return self._judges[0]

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


def _bce_with_label(realness_B: Tensor, label: float) -> Tensor:
    """Binary cross-entropy of the realness against one label for all."""
    return binary_cross_entropy_with_logits(realness_B, torch.full_like(realness_B, label))
