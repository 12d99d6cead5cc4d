"""Metrics of generated images in the features of the evaluation classifier.

Class accuracy alone rewards one good image per class, so the Fréchet distance and the diversity complement it.
Shapes: N images, F features of the classifier's last hidden layer.
"""

import math

import torch
from torch import Tensor

from worker.data import ImageDataset
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.image_model import unit

NEIGHBOUR = 3  # of precision and recall
NEIGHBOUR_IMAGES = 5_000
DIVERSITY_IMAGES = 400  # of each class
CHECKPOINT_IMAGES = 2_000  # generated for the evaluation of a checkpoint
FINAL_IMAGES = 10_000  # and for the final one


def labelled_figures(
    network: EvaluationClassifier, images: Tensor, labels_N: Tensor, dataset: ImageDataset, *, final: bool
) -> dict[str, float]:
    """Metrics of generated images in [0, 1] against as many test images.

    class_accuracy: share of images that the classifier assigns to the requested class. frechet_distance: between the
    two distributions of features (Heusel et al. 2017, arXiv:1706.08500). diversity: mean distance between two images of
    a class, as a share of the real images'; lowest_diversity: that of the least diverse class. final: also
    worst_class_accuracy; judge_accuracy, the classifier's accuracy on all test images, above which class_accuracy has
    no meaning; precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991).
    """
    generated, classes = network.predict(images)
    real, _ = network.predict(unit(dataset.test_images[: len(images)]))
    real_labels = dataset.test_labels[: len(images)]
    generated_K = _diversity(generated, labels_N, len(dataset.class_names))
    real_K = _diversity(real, real_labels, len(dataset.class_names))
    right_N = (classes == labels_N).double()
    figures = {
        "class_accuracy": float(right_N.mean()),
        "frechet_distance": frechet_distance(real, generated),
        "diversity": float(generated_K.nanmean() / real_K.nanmean()),
        "lowest_diversity": float((generated_K / real_K).nan_to_num(math.inf).min()),
    }
    if final:
        precision, recall = precision_recall(real[:NEIGHBOUR_IMAGES], generated[:NEIGHBOUR_IMAGES])
        figures |= {
            "worst_class_accuracy": min(float(right_N[labels_N == label].mean()) for label in labels_N.unique()),
            "judge_accuracy": network.accuracy(dataset.test_images, dataset.test_labels),
            "precision": precision,
            "recall": recall,
        }
    return figures


def frechet_distance(real_NF: Tensor, generated_NF: Tensor) -> float:
    """Fréchet distance between normal distributions with the means and covariances of these features."""
    means = (real_NF.mean(dim=0) - generated_NF.mean(dim=0)).square().sum()
    real, generated = torch.cov(real_NF.T), torch.cov(generated_NF.T)
    # The trace of the product's square root is the sum of the square roots of its eigenvalues, which are not negative.
    root = torch.linalg.eigvals(real @ generated).real.clamp(min=0).sqrt().sum()
    return float(means + real.trace() + generated.trace() - 2 * root)


def precision_recall(real_NF: Tensor, generated_NF: Tensor) -> tuple[float, float]:
    """Share of generated images inside the manifold of real ones, and the reverse.

    The manifold is the union of balls around the points, each with the distance to the third-nearest other as radius.
    """

    def radii(points: Tensor) -> Tensor:
        # By parts: kthvalue copies its input and adds as many int64 indices.
        parts = torch.cdist(points, points).split(500)
        return torch.cat([part.kthvalue(NEIGHBOUR + 1, dim=1).values for part in parts])

    distances = torch.cdist(real_NF, generated_NF)
    precision = (distances <= radii(real_NF)[:, None]).any(dim=0).double().mean()
    recall = (distances <= radii(generated_NF)[None, :]).any(dim=1).double().mean()
    return float(precision), float(recall)


def _diversity(features_NF: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    """Mean distance between two images of one class, [K]; nan for a class with fewer than two."""
    chosen = [features_NF[labels_N == label][:DIVERSITY_IMAGES] for label in range(classes)]
    return torch.stack([torch.pdist(points).mean() for points in chosen])
