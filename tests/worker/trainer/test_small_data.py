"""Trainings on files of a few images, through the trainer program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shared.datasets import REGISTRY
from shared.model_types import get
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED
from tests.waiting import PATIENCE_S
from tests.worker.data.formats import idx, images, labels, put

pytestmark = pytest.mark.slow


def files(train: np.ndarray, test: np.ndarray, classes: int = 10) -> dict[str, bytes]:
    """The four files of `mnist`."""
    parts = (train, labels(len(train), classes), test, labels(len(test), classes))
    return {path: idx(part) for path, part in zip(REGISTRY["mnist"].files, parts, strict=True)}


def random(count: int) -> np.ndarray:
    return images(count, 28, 28, seed=count)


def level(count: int, value: int) -> np.ndarray:
    return np.full((count, 28, 28), value, np.uint8)


def train(tmp_path: Path, model_type: str, contents: dict[str, bytes]) -> tuple[int, dict[str, dict[str, object]]]:
    """Exit status, and the last event of each type or notice code."""
    put(tmp_path / "datasets", contents)
    spec = {"model_type": model_type, "dataset": "mnist", "hyperparameters": {**get(model_type).small, "epochs": 1}}
    (tmp_path / "job.json").write_text(json.dumps(spec))
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "worker.train", str(tmp_path / "job.json"), str(tmp_path / "run")],
        env={**os.environ, "MIMEO_HOME": str(tmp_path / "home"), "MIMEO_DATASETS_DIR": str(tmp_path / "datasets")},
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events, done.stderr.decode()
    return done.returncode, {event.get("code", event["type"]): event for event in events}


@pytest.mark.parametrize("model_type", ["vae", "acgan", "gan"])
@pytest.mark.parametrize(("trained", "tested"), [(60, 1), (5, 5), (1, 2), (60, 60)], ids=str)
def test_few_images_train_with_a_warning(tmp_path: Path, model_type: str, trained: int, tested: int) -> None:
    status, events = train(tmp_path, model_type, files(random(trained), random(tested)))

    assert status == EXIT_FINISHED, events
    assert "quality_not_finite" not in events
    warning = events.get("few_test_images")
    assert (warning is None) == (model_type == "vae" and tested >= 10)
    if warning is not None:
        assert warning["is_warning"]
        assert ("is 1 test image" in str(warning["message"])) == (tested == 1)


@pytest.mark.parametrize("model_type", ["vae", "acgan", "gan"])
@pytest.mark.parametrize("value", [0, 128])
def test_equal_images_train(tmp_path: Path, model_type: str, value: int) -> None:
    status, events = train(tmp_path, model_type, files(level(60, value), level(20, value)))

    assert status == EXIT_FINISHED, events
    assert "quality_not_finite" not in events


def test_missing_classes_are_a_warning_and_not_in_the_figures(tmp_path: Path) -> None:
    status, events = train(tmp_path, "acgan", files(random(60), random(60), classes=3))

    assert status == EXIT_FINISHED, events
    assert "3 of 10 classes" in str(events["missing_classes"]["message"])
    manifest = json.loads((tmp_path / "run" / str(events["finished"]["checkpoint"]) / "manifest.json").read_text())
    assert manifest["config"]["absent_classes"] == [3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(("trained", "tested", "part"), [(60, 0, "test"), (0, 60, "train")])
def test_empty_part_is_named_and_not_retried(tmp_path: Path, trained: int, tested: int, part: str) -> None:
    status, events = train(tmp_path, "vae", files(random(trained), random(tested)))

    assert status == EXIT_FAILED
    failed = next(event for event in events.values() if event["type"] == "failed")
    assert failed["code"] == "invalid_data"
    assert f"The {part} part of `mnist`" in str(failed["message"])
