"""The classification accuracy score (Ravuri & Vinyals 2019, arXiv:1905.10887).

A classifier is trained on generated images only and tested on real ones. Collapse, blur and wrong classes all lower
the score.
"""

import torch
from torch import Tensor

from worker.data import ImageDataset
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.requirements import chosen_test_images

TRAINING_IMAGES = 20_000  # distinct images
SEEN_IMAGES = 120_000  # with repetition: six times each
FEWEST_SEEN = 40_000  # for few images as well
SHIFT = 2  # pixels at most, in each direction; one shift for each batch


def classifier_score(images: Tensor, labels_N: Tensor, dataset: ImageDataset) -> float:
    """Accuracy on the test images of these classes of a classifier that is trained only on these images.

    images: uint8 [N, C, H, W]. The classifier has the architecture of the evaluation classifier. The same images give
    the same score, and torch's default generators are unchanged.
    """
    with torch.random.fork_rng(devices=[]):  # keeps the default generators; `fit` sets the weights again
        classifier = EvaluationClassifier(dataset.image_shape, len(dataset.class_names))
    classifier.fit(images, labels_N, seen=images_seen(len(images)), shift=SHIFT)
    return classifier.accuracy(*chosen_test_images(dataset, labels_N.unique()))


def images_seen(count: int) -> int:
    """Images that the classifier's training sees, with repetition, where `count` distinct ones are given."""
    return max(FEWEST_SEEN, count * SEEN_IMAGES // TRAINING_IMAGES)


def quantised(images: Tensor) -> Tensor:
    """Images in [0, 1] in the format of real ones: uint8 0..255."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
