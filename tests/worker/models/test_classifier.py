"""The evaluation classifier: accurate on real images, cached for later runs, and sensitive to collapse."""

from pathlib import Path

import pytest
import torch

from shared.model_types import get
from tests.worker.models.conftest import builtin
from worker.data import ImageDataset
from worker.models.evaluation import classifier as classifier_module
from worker.models.evaluation.classifier import EvaluationClassifier
from worker.models.evaluation.sample_metrics import frechet_distance, labelled_figures, precision_recall
from worker.models.image_model import unit
from worker.trainer.tracking import Selection


@pytest.fixture
def digits() -> ImageDataset:
    dataset = builtin(get("acgan"))
    assert isinstance(dataset, ImageDataset)
    return dataset


@pytest.fixture
def trained_classifier(digits: ImageDataset, cache_dir: Path) -> EvaluationClassifier:
    return EvaluationClassifier.for_dataset(digits, cache_dir)


@pytest.fixture(scope="module")
def learned() -> EvaluationClassifier:
    dataset = builtin(get("acgan"))
    assert isinstance(dataset, ImageDataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier_module, "TRAINING_IMAGES", 20_000)
        return EvaluationClassifier.for_dataset(dataset, None)


def test_classifier_is_accurate_on_images_outside_its_training_set(
    learned: EvaluationClassifier, digits: ImageDataset
) -> None:
    _, classes = learned.predict(unit(digits.test_images))

    assert float((classes == digits.test_labels).double().mean()) > 0.95


def test_classifier_is_read_from_the_cache(
    trained_classifier: EvaluationClassifier, digits: ImageDataset, cache_dir: Path
) -> None:
    (path,) = cache_dir.glob("classifier-*.safetensors")
    written = path.stat().st_mtime_ns

    again = EvaluationClassifier.for_dataset(digits, cache_dir)

    assert path.stat().st_mtime_ns == written
    assert all(
        torch.equal(a, b)
        for a, b in zip(trained_classifier.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_damaged_cache_is_replaced(
    trained_classifier: EvaluationClassifier, digits: ImageDataset, cache_dir: Path
) -> None:
    (path,) = cache_dir.glob("classifier-*.safetensors")
    path.write_bytes(b"not weights")

    again = EvaluationClassifier.for_dataset(digits, cache_dir)

    assert all(
        torch.equal(a, b)
        for a, b in zip(trained_classifier.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_training_a_classifier_leaves_the_default_random_state_unchanged(digits: ImageDataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    EvaluationClassifier.for_dataset(digits, None)

    assert torch.equal(torch.rand(3), expected)


def test_one_image_per_class_has_high_accuracy_and_poor_other_figures(
    learned: EvaluationClassifier, digits: ImageDataset
) -> None:
    images, labels = unit(digits.train_images[:360]), digits.train_labels[:360]
    right = learned.predict(images)[1] == labels
    collapsed = torch.stack([images[(labels == label) & right][0] for label in labels])

    honest = labelled_figures(learned, images, labels, digits, final=True)
    cheat = labelled_figures(learned, collapsed, labels, digits, final=True)

    assert cheat["class_accuracy"] == cheat["worst_class_accuracy"] == 1
    assert cheat["diversity"] < 0.01
    assert honest["diversity"] > 0.8
    assert cheat["frechet_distance"] > 3 * honest["frechet_distance"]
    assert cheat["recall"] < 0.2
    assert honest["recall"] > 0.7


def test_collapsed_checkpoint_is_not_the_best(learned: EvaluationClassifier, digits: ImageDataset) -> None:
    images, labels = unit(digits.train_images[:360]), digits.train_labels[:360]
    right = learned.predict(images)[1] == labels
    collapsed = torch.stack([images[(labels == label) & right][0] for label in labels])
    honest = labelled_figures(
        learned, images, labels.roll(1, dims=0).where(torch.arange(360) < 40, labels), digits, final=False
    )
    cheat = labelled_figures(learned, collapsed, labels, digits, final=False)
    selection = Selection(get("acgan").selection)

    offers = [selection.offer(figures, step) for step, figures in enumerate((honest, cheat))]

    assert cheat["class_accuracy"] == 1 > honest["class_accuracy"]
    assert (offers, selection.step) == ([True, False], 0)


def test_quality_has_the_worst_class_and_the_classifier_accuracy(
    learned: EvaluationClassifier, digits: ImageDataset
) -> None:
    images, labels = unit(digits.train_images[:360]), digits.train_labels[:360].clone()
    labels[labels == 3] = 4
    images[labels == 8] = 1 - images[labels == 8]

    figures = labelled_figures(learned, images, labels, digits, final=True)

    _, classes = learned.predict(images)
    by_class = [(classes[labels == label] == label).double().mean() for label in range(10) if (labels == label).any()]
    assert figures["worst_class_accuracy"] == pytest.approx(float(min(by_class)))
    assert figures["worst_class_accuracy"] < figures["class_accuracy"]
    assert figures["judge_accuracy"] > 0.95


def test_frechet_distance_of_normals_is_the_closed_form() -> None:
    torch.manual_seed(0)
    points = torch.randn(20_000, 3, dtype=torch.double)

    moved_and_scaled = points * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([0.0, 0.0, 5.0])

    assert frechet_distance(points, points) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(points, moved_and_scaled) == pytest.approx(25 + 1 + 4, rel=0.03)


def test_precision_and_recall_distinguish_a_subset_from_a_superset() -> None:
    torch.manual_seed(0)
    whole = torch.cat([torch.randn(200, 2), torch.randn(200, 2) + 50]).double()
    part = torch.randn(400, 2).double()

    assert precision_recall(whole, part) == pytest.approx((1.0, 0.5), abs=0.1)
    assert precision_recall(part, whole) == pytest.approx((0.5, 1.0), abs=0.1)
