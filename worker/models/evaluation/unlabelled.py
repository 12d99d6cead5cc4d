"""Metrics of generated images that need no labels. Shapes: N images, F features."""

from pathlib import Path

import torch
from torch import Tensor

from shared.model_types.image_requirements import FEWEST_COMPARED
from worker.data import ImageDataset
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.sample_metrics import NEIGHBOUR_IMAGES, frechet_distance, least_distance, precision_recall
from worker.models.image_model import unit

DIVERSITY_IMAGES = 1_000


def feature_network(dataset: ImageDataset, cache_dir: Path | None) -> EvaluationClassifier:
    """The network whose features compare images: the evaluation classifier where the dataset has at least two classes.

    Without classes it is the same network with random weights from a fixed seed, as in Naeem et al. 2020
    (arXiv:2002.09797). Distances in the features of one network do not compare with those of the other.
    """
    if len(dataset.class_names) >= 2:
        return EvaluationClassifier.for_dataset(dataset, cache_dir)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EvaluationClassifier(dataset.image_shape, classes=1).eval()


def unlabelled_figures(
    network: EvaluationClassifier, images: Tensor, dataset: ImageDataset, *, final: bool
) -> dict[str, float]:
    """Metrics of generated images in [0, 1], [N, C, H, W], against as many test images.

    frechet_distance: between the two distributions of features (Heusel et al. 2017, arXiv:1706.08500). diversity: mean
    distance of an image to its nearest neighbour, as a share of the same distance of real images; left out where these
    are all equal. final: also precision and recall (Kynkäänniemi et al. 2019, arXiv:1904.06991). Without
    FEWEST_COMPARED test images there are none.
    """
    if len(dataset.test_images) < FEWEST_COMPARED:
        return {}
    generated, _ = network.predict(images)
    real, _ = network.predict(unit(dataset.test_images[: len(images)]))
    compared = min(len(real), len(generated), DIVERSITY_IMAGES)
    figures = {"frechet_distance": frechet_distance(real, generated)}
    apart = nearest_distance(real[:compared])
    if apart > least_distance(real):
        figures["diversity"] = nearest_distance(generated[:compared]) / apart
    if final:
        precision, recall = precision_recall(real[:NEIGHBOUR_IMAGES], generated[:NEIGHBOUR_IMAGES])
        figures |= {"precision": precision, "recall": recall}
    return figures


def nearest_distance(features_NF: Tensor) -> float:
    """Mean distance to the nearest other point.

    It is 0 where few images repeat. The mean distance of all pairs does not detect repetition: ten different images,
    repeated, have nine tenths of it.
    """
    distances_NN = torch.cdist(features_NF, features_NF).fill_diagonal_(torch.inf)
    return float(distances_NN.amin(dim=1).mean())
