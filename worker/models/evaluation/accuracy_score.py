"""What images are worth to somebody who learns from them alone.

The classification accuracy score (Ravuri & Vinyals 2019, arXiv:1905.10887): a classifier that has only ever seen
generated images names real ones. Collapse, blur and wrong classes all cost it, so no trick wins it.
"""

import torch
from torch import Tensor

from worker.data import ImageDataset
from worker.models.evaluation.classifier import EvaluationClassifier

TRAINING_IMAGES = 20_000  # different ones
SEEN_IMAGES = 120_000  # with repetition: six times each
FEWEST_SEEN = 40_000  # however few there are
SHIFT = 2  # pixels at most, each way, another for each batch


def classifier_score(images: Tensor, labels_N: Tensor, dataset: ImageDataset) -> float:
    """Share of the dataset's test images that a classifier names right which learned from these images alone.

    images: uint8 [N, C, H, W]. The classifier has the judge's architecture. The same images give the same score, and
    torch's default generators are left as they were.
    """
    with torch.random.fork_rng(devices=[]):  # its first weights do not count, nor should their random numbers
        classifier = EvaluationClassifier(dataset.image_shape, len(dataset.class_names))
    seen = max(FEWEST_SEEN, len(images) * SEEN_IMAGES // TRAINING_IMAGES)
    classifier.fit(images, labels_N, seen=seen, shift=SHIFT)
    return classifier.accuracy(dataset.test_images, dataset.test_labels)


def quantised(images: Tensor) -> Tensor:
    """Images in [0, 1] as real ones are kept: uint8 0..255."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)
