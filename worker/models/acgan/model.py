"""Auxiliary-classifier GAN (Odena, Olah & Shlens 2017, arXiv:1610.09585): training and evaluation.

The discriminator estimates the realness and the class of an image. The generator learns to produce images that are
rated as real and as of a given class. Shapes: B images, Z latent dimensions, K classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from shared.datasets import DatasetShape
from shared.model_types.acgan import (
    AcganHyperparameters,
    AcganSampling,
    check_sampling,
    check_training,
    merged_classes,
    resolve_sampling,
)
from shared.model_types.base import DataWarning
from shared.model_types.image_requirements import few_test_images
from worker.blocks import BetweenBlocks, uninterrupted
from worker.data import Dataset, ImageDataset
from worker.models.acgan.adversarial import AdversarialModel
from worker.models.acgan.export import acgan_graphs
from worker.models.acgan.sampling import balanced, class_grid, sampled
from worker.models.base import Generated, OnnxGraph, Sample, StepMetrics, require_fit
from worker.models.evaluation import sample_metrics
from worker.models.evaluation.accuracy_score import TRAINING_IMAGES, classifier_score, quantised
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.requirements import (
    absent_classes,
    chosen_test_images,
    missing_classes,
)
from worker.models.evaluation.sample_metrics import labelled_figures
from worker.models.image_model import unit


class Acgan(AdversarialModel):
    """The pair with classes, and the evaluation of the images that it generates.

    absent_classes: labels without a training image. They are not learned, and figures leave them out.
    """

    absent_classes: list[int] = []  # noqa: RUF012 - replaced, never changed

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
        model.absent_classes = list(config.get("absent_classes", []))
        if hyperparameters.network == "book":
            # A CPU generates images faster with channels first here; training in bfloat16 is slower with them.
            for network in filter(None, (model.generator, model.average)):
                network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return model

    def config(self) -> dict[str, Any]:
        """Hyperparameters, image shape and classes; `absent_classes`, where some labels had no training image."""
        absent = {"absent_classes": self.absent_classes} if self.absent_classes else {}
        return {**super().config(), "class_names": self.class_names, **absent}

    # --- training -----------------------------------------------------------------------------------------------

    def start_training(self, dataset: Dataset, *, seed: int) -> None:
        """Put images and labels on the device and make both optimizers."""
        assert isinstance(dataset, ImageDataset)
        relabelled = self._relabelled(dataset)
        self.absent_classes = absent_classes(relabelled)
        self.start_adversaries(relabelled, relabelled.train_images, relabelled.train_labels, seed=seed)
        self._classifiers: list[EvaluationClassifier] = []  # at most one; a list keeps it out of the state dict

    def data_warnings(self) -> list[DataWarning]:
        """Warnings of classes without training images, and of too few test images of the others."""
        images, _ = chosen_test_images(self._dataset, self._trained_classes())
        some = "test images" if len(images) == len(self._dataset.test_images) else "test images of these classes"
        return [*missing_classes(self._dataset), *few_test_images(len(images), some)]

    def _trained_classes(self) -> list[int]:
        return [label for label in range(len(self.class_names)) if label not in self.absent_classes]

    def _relabelled(self, dataset: ImageDataset) -> ImageDataset:
        label_map = self.hyperparameters.label_map
        if label_map is None:
            return dataset
        new = torch.tensor(label_map)
        train_labels, test_labels = new[dataset.train_labels], new[dataset.test_labels]
        names = tuple(self.class_names)
        return ImageDataset(dataset.name, dataset.train_images, train_labels, dataset.test_images, test_labels, names)

    def device_step(self, *tensors: Tensor) -> StepMetrics:
        """One update of the discriminator, then one of the generator."""
        images, labels_B = tensors
        d_loss, realness_accuracy, classes_BK = self.discriminator_step(unit(images) * 2 - 1, labels_B)
        g_loss = self.generator_step(len(labels_B) * self.recipe.generator_batches)
        return {
            "d_loss": d_loss,
            "g_loss": g_loss,
            "class_accuracy": (classes_BK.argmax(dim=1) == labels_B).float().mean(),
            "realness_accuracy": realness_accuracy,
        }

    def class_loss(self, classes_BK: Tensor, labels_B: Tensor, share: float) -> Tensor:
        """Cross-entropy of the auxiliary classifier."""
        weight: float = share * self.hyperparameters.class_weight
        return weight * cross_entropy(classes_BK, labels_B)

    # --- evaluation and sampling --------------------------------------------------------------------------------

    def evaluate(self) -> dict[str, float]:
        """Metrics of some generated images; see `evaluation.classifier.labelled_figures`."""
        images, labels_N = balanced(self, sample_metrics.CHECKPOINT_IMAGES, self._trained_classes())
        return labelled_figures(self._classifier(), images, labels_N, self._dataset, final=False)

    def final_quality(self) -> dict[str, float]:
        """The same on more images, with the costlier figures, and the accuracy of a classifier of generated images."""
        images, labels_N = balanced(self, TRAINING_IMAGES, self._trained_classes())
        some = slice(0, sample_metrics.FINAL_IMAGES)
        figures = labelled_figures(self._classifier(), images[some], labels_N[some], self._dataset, final=True)
        if len(chosen_test_images(self._dataset, self._trained_classes())[0]):
            figures["classification_accuracy_score"] = classifier_score(quantised(images), labels_N, self._dataset)
        return figures

    def quality_cost(self) -> int:
        """Measured: 6,800 images of digits with `fast`."""
        return 8_000

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
        between_blocks: BetweenBlocks = uninterrupted,
    ) -> Generated:
        """Images ordered by label, then by sample."""
        sampling = resolve_sampling(sampling, self.config())
        shape = DatasetShape(kind="images", classes=len(self.class_names))
        unmapped = self.hyperparameters.model_copy(update={"label_map": None})
        check_sampling(unmapped, sampling, shape)
        return sampled(self, sampling, seed, between_blocks)

    def onnx_graphs(self) -> list[OnnxGraph]:
        """The generator."""
        return acgan_graphs(self)
