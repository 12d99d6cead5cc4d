"""Metrics of generated images in the features of the evaluation classifier.

Class accuracy alone rewards one good image per class, so the Fréchet distance and the diversity complement it.
Shapes: N images, F features of the classifier's last hidden layer.
"""

import math

import torch
from torch import Tensor

from shared.model_types.image_requirements import FEWEST_COMPARED
from worker.data import ImageDataset
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.requirements import chosen_test_images
from worker.models.image_model import unit

NEIGHBOUR = 3  # of precision and recall
NEIGHBOUR_IMAGES = 5_000
ROUNDING = 1e-5  # of a feature vector's length
DIVERSITY_IMAGES = 400  # of each class
CHECKPOINT_IMAGES = 2_000  # generated for the evaluation of a checkpoint
FINAL_IMAGES = 10_000  # and for the final one


def labelled_figures(
    network: EvaluationClassifier, images: Tensor, labels_N: Tensor, dataset: ImageDataset, *, final: bool
) -> dict[str, float]:
    """Metrics of generated images in [0, 1] against as many test images of the same classes.

    class_accuracy: share of images that the classifier assigns to the requested class. final: also
    worst_class_accuracy; judge_accuracy, the classifier's accuracy on all test images of these classes, above which
    class_accuracy has no meaning. The figures of `_compared` need FEWEST_COMPARED test images.
    """
    generated, classes = network.predict(images)
    test_images, test_labels = chosen_test_images(dataset, labels_N.unique())
    right_N = (classes == labels_N).double()
    figures = {"class_accuracy": float(right_N.mean())}
    if len(test_images) >= FEWEST_COMPARED:
        real, _ = network.predict(unit(test_images[: len(images)]))
        figures |= _compared(real, test_labels[: len(images)], generated, labels_N, final=final)
    if final:
        figures["worst_class_accuracy"] = min(float(right_N[labels_N == label].mean()) for label in labels_N.unique())
        if len(test_images):
            figures["judge_accuracy"] = network.accuracy(test_images, test_labels)
    return figures


def _compared(
    real_NF: Tensor, real_labels_N: Tensor, generated_NF: Tensor, labels_N: Tensor, *, final: bool
) -> dict[str, float]:
    """Figures of two sets of features and their classes.

    frechet_distance: between the two distributions (Heusel et al. 2017, arXiv:1706.08500). diversity: mean distance
    between two images of a class, as a share of the real images'; lowest_diversity: that of the least diverse class;
    both are left out where no class has two different real images. final: also precision and recall (Kynkäänniemi et
    al. 2019, arXiv:1904.06991).
    """
    figures = {"frechet_distance": frechet_distance(real_NF, generated_NF)}
    classes = int(labels_N.max()) + 1
    generated_K = _diversity(generated_NF, labels_N, classes)
    real_K = _diversity(real_NF, real_labels_N, classes)
    has_measure = real_K > least_distance(real_NF)  # not for nan: fewer than two images
    if has_measure.any():
        figures["diversity"] = float(generated_K.nanmean() / real_K.nanmean())
        figures["lowest_diversity"] = float((generated_K / real_K)[has_measure].min())
    if final:
        precision, recall = precision_recall(real_NF[:NEIGHBOUR_IMAGES], generated_NF[:NEIGHBOUR_IMAGES])
        figures |= {"precision": precision, "recall": recall}
    return figures


def least_distance(features_NF: Tensor) -> float:
    """Distances below it are those of equal images, whose features differ by rounding."""
    return ROUNDING * float(features_NF.norm(dim=1).mean())


def frechet_distance(real_NF: Tensor, generated_NF: Tensor) -> float:
    """Fréchet distance between normal distributions with the means and covariances of these features.

    Not a number where a feature is not finite or there is one point only.
    """
    if min(len(real_NF), len(generated_NF)) < 2:
        return math.nan
    means = (real_NF.mean(dim=0) - generated_NF.mean(dim=0)).square().sum()
    real, generated = torch.cov(real_NF.T), torch.cov(generated_NF.T)
    # The trace of the product's square root is the sum of the square roots of its eigenvalues, which are not negative.
    product = real @ generated
    if not product.isfinite().all():  # LAPACK may end the process with it
        return math.nan
    root = torch.linalg.eigvals(product).real.clamp(min=0).sqrt().sum()
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
