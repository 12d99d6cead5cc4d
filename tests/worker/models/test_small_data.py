"""Evaluation with few, equal or missing images."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from shared.model_types.image_requirements import FEWEST_COMPARED, few_test_images
from worker.data import ImageDataset
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.requirements import absent_classes, missing_classes
from worker.models.evaluation.sample_metrics import frechet_distance, labelled_figures
from worker.models.evaluation.unlabelled import unlabelled_figures
from worker.trainer.tracking import Selection

CLASSES = tuple("0123456789")
COMPARED = {"frechet_distance", "precision", "recall", "diversity"}


def random_images(count: int, seed: int = 0) -> Tensor:
    return torch.randint(256, (count, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def in_turn(count: int, classes: int = 10) -> Tensor:
    return torch.arange(count) % classes


def dataset(test: Tensor, *, classes: int = 10) -> ImageDataset:
    return ImageDataset("tiny", random_images(60), in_turn(60, classes), test, in_turn(len(test)), CLASSES)


@pytest.fixture(scope="module")
def network() -> EvaluationClassifier:
    torch.manual_seed(0)
    return EvaluationClassifier((1, 28, 28), 10).eval()


@pytest.mark.parametrize("count", [1, 2, 5, FEWEST_COMPARED - 1, FEWEST_COMPARED, 60])
def test_figures_are_finite_and_comparisons_need_enough_test_images(network: EvaluationClassifier, count: int) -> None:
    images, data = random_images(100, seed=1) / 255, dataset(random_images(count, seed=2))

    labelled = labelled_figures(network, images, in_turn(100), data, final=True)
    unlabelled = unlabelled_figures(network, images, data, final=True)

    for figures in (labelled, unlabelled):
        assert all(map(math.isfinite, figures.values())), figures
        assert ("frechet_distance" in figures) == ("recall" in figures) == (count >= FEWEST_COMPARED)
    assert "class_accuracy" in labelled
    assert "judge_accuracy" in labelled


@pytest.mark.parametrize("level", [0, 255, 100])
def test_equal_test_images_leave_out_the_diversity(network: EvaluationClassifier, level: int) -> None:
    images, data = random_images(100, seed=1) / 255, dataset(torch.full((60, 1, 28, 28), level, dtype=torch.uint8))

    for figures in (
        labelled_figures(network, images, in_turn(100), data, final=True),
        unlabelled_figures(network, images, data, final=True),
    ):
        assert all(map(math.isfinite, figures.values())), figures
        assert "frechet_distance" in figures
        assert "diversity" not in figures


def test_images_that_are_not_finite_have_no_distance_and_end_no_process(network: EvaluationClassifier) -> None:
    features, _ = network.predict(torch.full((100, 1, 28, 28), math.nan))

    assert math.isnan(frechet_distance(features, features))
    assert math.isnan(frechet_distance(features[:1], features))


def test_figures_are_those_of_the_classes_present(network: EvaluationClassifier) -> None:
    data = dataset(random_images(100, seed=2), classes=3)
    images, labels_N = random_images(90, seed=1) / 255, in_turn(90, 3)
    chosen = data.test_labels < 3
    only = replace(data, test_images=data.test_images[chosen], test_labels=data.test_labels[chosen])

    assert absent_classes(data) == [3, 4, 5, 6, 7, 8, 9]
    assert labelled_figures(network, images, labels_N, data, final=True) == labelled_figures(
        network, images, labels_N, only, final=True
    )


def test_warnings_name_the_missing_classes_and_the_number_of_test_images() -> None:
    [missing] = missing_classes(dataset(random_images(60), classes=3))
    [one], [five], [some] = few_test_images(1), few_test_images(5), few_test_images(60)

    assert "3 of 10 classes; there are none of 3, 4, 5, 6, 7, 8, 9." in missing.message
    assert missing.data == {"labels": [3, 4, 5, 6, 7, 8, 9]}
    assert "There is 1 test image; a comparison with generated images needs 10" in one.message
    assert "There are 5 test images" in five.message
    assert "frechet_distance, diversity, precision, recall are left out" in five.message
    assert "imprecise" in some.message
    assert few_test_images(1000) == []
    assert missing_classes(dataset(random_images(60))) == []


def test_last_checkpoint_is_selected_where_the_metric_is_left_out() -> None:
    selection = Selection(("frechet_distance", "min"))

    assert [selection.offer({"class_accuracy": value, "step": step}, step) for step, value in ((1, 0.9), (2, 0.1))] == [
        True,
        True,
    ]
    assert Selection(("frechet_distance", "min"), selection.state()).step == 2
