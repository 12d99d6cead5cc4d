"""Trainings on files of a few images, through the trainer's program in this process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.datasets import REGISTRY
from shared.model_types import get
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED
from tests.worker.data.formats import idx, images, labels, put
from tests.worker.trainer.harness import run
from worker.models.acgan import model as acgan
from worker.models.evaluation import accuracy_score, classifier, sample_metrics
from worker.trainer.spec import TrainerSpec

pytestmark = pytest.mark.slow


def files(train: np.ndarray, test: np.ndarray, classes: int = 10) -> dict[str, bytes]:
    """The four files of `mnist`."""
    parts = (train, labels(len(train), classes), test, labels(len(test), classes))
    return {path: idx(part) for path, part in zip(REGISTRY["mnist"].files, parts, strict=True)}


def random(count: int) -> np.ndarray:
    return images(count, 28, 28, seed=count)


@pytest.fixture(autouse=True)
def short_evaluations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluate with few generated images and little training of the classifiers, on the files of the test alone."""
    monkeypatch.delenv("MIMEO_DATASETS_DIR", raising=False)
    monkeypatch.setattr(classifier, "TRAINING_IMAGES", 1_000)
    monkeypatch.setattr(sample_metrics, "CHECKPOINT_IMAGES", 60)
    monkeypatch.setattr(sample_metrics, "FINAL_IMAGES", 100)
    monkeypatch.setattr(acgan, "TRAINING_IMAGES", 200)
    monkeypatch.setattr(accuracy_score, "FEWEST_SEEN", 1_000)


def train(tmp_path: Path, model_type: str, contents: dict[str, bytes]) -> tuple[int, dict[str, Any]]:
    """Exit status, and the last event of each type or notice code."""
    put(tmp_path / "home" / "datasets", contents)
    small = {**get(model_type).small, "epochs": 1}
    body = {"model_type": model_type, "dataset": "mnist", "hyperparameters": small, "threads": 1}
    status, reports = run(tmp_path / "run", TrainerSpec.model_validate(body).completed())
    return status, {getattr(event, "code", event.type): event for event in reports.events}


@pytest.mark.parametrize(
    ("model_type", "trained", "tested", "counted"),
    [
        *((name, 60, 1, "There is 1 test image;") for name in ("vae", "acgan", "gan")),
        *((name, 1, 2, "There are 2 test images;") for name in ("vae", "gan")),
        ("acgan", 1, 2, "There is 1 test image of these classes;"),  # one class was trained
        *(("acgan", 5, 5, "There are 5 test images;"), ("gan", 60, 60, "There are 60 test images;")),
    ],
)
def test_few_images_train_with_a_warning(
    tmp_path: Path, model_type: str, trained: int, tested: int, counted: str
) -> None:
    status, events = train(tmp_path, model_type, files(random(trained), random(tested)))

    assert status == EXIT_FINISHED, events
    assert "quality_not_finite" not in events
    warning = events["few_test_images"]
    assert warning.is_warning
    assert warning.message.startswith(counted)


@pytest.mark.parametrize("model_type", ["vae", "acgan", "gan"])
def test_equal_images_train(tmp_path: Path, model_type: str) -> None:
    black = np.zeros((60, 28, 28), np.uint8)

    status, events = train(tmp_path, model_type, files(black, black[:20]))

    assert status == EXIT_FINISHED, events
    assert "quality_not_finite" not in events


def test_missing_classes_are_a_warning_and_not_in_the_figures(tmp_path: Path) -> None:
    status, events = train(tmp_path, "acgan", files(random(60), random(60), classes=3))

    assert status == EXIT_FINISHED, events
    assert "3 of 10 classes" in events["missing_classes"].message
    manifest = json.loads((tmp_path / "run" / events["finished"].checkpoint / "manifest.json").read_text())
    assert manifest["config"]["absent_classes"] == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(("trained", "tested", "part"), [(60, 0, "test"), (0, 60, "train")])
def test_empty_part_is_named_and_not_retried(tmp_path: Path, trained: int, tested: int, part: str) -> None:
    status, events = train(tmp_path, "vae", files(random(trained), random(tested)))

    assert status == EXIT_FAILED
    failed = events["invalid_data"]
    assert f"The {part} part of `mnist` is damaged: it has no images" in failed.message
