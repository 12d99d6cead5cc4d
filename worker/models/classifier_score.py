"""What images are worth to somebody who learns from them alone.

The classification accuracy score (Ravuri & Vinyals 2019, arXiv:1905.10887): a classifier that has only ever seen
generated images names real ones. Collapse, blur and wrong classes all cost it, so no trick wins it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from worker.data import ImageDataset
from worker.models.images import unit
from worker.models.judge import Judge
from worker.models.optimization import epoch_order, generator, learning_rate, set_learning_rate

TRAINING_IMAGES = 20_000  # different ones
SEEN_IMAGES = 120_000  # with repetition: six times each
FEWEST_SEEN = 40_000  # however few there are
SHIFT = 2  # pixels at most, each way, another for each batch
BATCH = 128
PEAK_RATE = 4e-3


def classifier_score(images: Tensor, labels_N: Tensor, dataset: ImageDataset) -> float:
    """Share of the dataset's test images that a classifier names right which learned from these images alone.

    images: uint8 [N, C, H, W]. The classifier has the judge's architecture. The same images give the same score, and
    torch's default generators are left as they were.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        classifier = Judge(dataset.image_shape, len(dataset.class_names))
        _fit(classifier, images, labels_N)
    return classifier.eval().accuracy(dataset.test_images, dataset.test_labels)


def quantised(images: Tensor) -> Tensor:
    """Images in [0, 1] as real ones are kept: uint8 0..255."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def _fit(classifier: nn.Module, images: Tensor, labels_N: Tensor) -> None:
    classifier.train()
    height, width = images.shape[2:]
    roomy = pad(images, (SHIFT, SHIFT, SHIFT, SHIFT))
    optimizer = torch.optim.AdamW(classifier.parameters(), PEAK_RATE, fused=True)
    seen = max(FEWEST_SEEN, len(images) * SEEN_IMAGES // TRAINING_IMAGES)
    batches = epoch_order(len(images), seen, seed=0, epoch=1).split(BATCH)
    corners = torch.randint(2 * SHIFT + 1, (len(batches), 2), generator=generator(0, 2)).tolist()
    for step, (chosen, (top, left)) in enumerate(zip(batches, corners, strict=True)):
        rate = learning_rate(PEAK_RATE, step, len(batches), warmup_steps=100, schedule="cosine")
        set_learning_rate(optimizer, rate)
        moved = roomy[chosen, :, top : top + height, left : left + width]
        loss = cross_entropy(classifier(unit(moved)), labels_N[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
