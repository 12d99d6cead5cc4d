"""Small hyperparameters and data with which every model type trains in a second or two."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from shared import model_types
from shared.model_types import ModelType
from tests.fourth_type import MODEL_TYPES
from worker.data import Dataset, load
from worker.models import GenerativeModel, implementation
from worker.models.acgan import model
from worker.models.evaluation import accuracy_score, classifier, sample_metrics
from worker.seeding import generator

TYPES_AND_PRESETS = [(name, preset) for name, kind in MODEL_TYPES.items() for preset in kind.presets]


@pytest.fixture(autouse=True)
def _fourth_type(fourth_type: ModelType) -> None:
    """The suites over the registry run on a fourth model type too."""


@pytest.fixture(autouse=True)
def _small_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier trains on fewer images and evaluates fewer: only its figures are rougher."""
    monkeypatch.setattr(classifier, "TRAINING_IMAGES", 6_000)
    monkeypatch.setattr(sample_metrics, "CHECKPOINT_IMAGES", 60)
    monkeypatch.setattr(sample_metrics, "FINAL_IMAGES", 100)
    monkeypatch.setattr(model, "TRAINING_IMAGES", 200)
    monkeypatch.setattr(accuracy_score, "FEWEST_SEEN", 6_000)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of the evaluation classifier of the built-in digits during the tests."""
    return tmp_path_factory.mktemp("classifiers")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are faster on one thread, the more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def builtin(kind: ModelType) -> Dataset:
    """The built-in dataset of a model type."""
    return load(kind.fallback_dataset, datasets_dir=None, home=Path("unused"), offline=True)


def build(name: str, preset: str = "fast", seed: int = 3, **overrides: Any) -> GenerativeModel:
    """A small model ready to train on a builtin dataset."""
    kind = model_types.get(name)
    chosen = {**kind.small, **overrides}
    dataset = builtin(kind)
    torch.manual_seed(seed)
    model = implementation(kind).for_data(kind.resolve(preset, chosen), dataset)
    model.train()
    model.start_training(dataset, seed=seed)
    return model


def train(model: GenerativeModel, first: int, last: int) -> list[dict[str, float]]:
    """Steps `first` to `last` (0-based, over the whole run), each seeded by its position as in the loop."""
    figures = []
    per_epoch = model.steps_per_epoch()
    while first < last:
        epoch = first // per_epoch + 1
        for batch in model.batches(epoch, first % per_epoch):
            torch.default_generator.manual_seed(generator(7, first).initial_seed())
            metrics = model.training_step(batch)
            figures.append({name: float(value) for name, value in metrics.items()})
            first += 1
            if first == last:
                break
    return figures


def real_datasets() -> Path:
    """The folder named by MIMEO_DATASETS_DIR, or a skip."""
    folder = os.environ.get("MIMEO_DATASETS_DIR")
    if not folder:
        pytest.skip("MIMEO_DATASETS_DIR is not set")
    return Path(folder)
