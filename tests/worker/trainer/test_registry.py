"""Each model type in the registry runs through the whole trainer, a stop and a resume, and is sampled from a store."""

from pathlib import Path
from typing import Any

import pytest

from shared import model_types, trainer_protocol
from shared.errors import SpecError
from shared.model_types import ModelType
from shared.settings import Settings
from shared.storage import Storage
from shared.trainer_protocol import EXIT_FINISHED, EXIT_STOPPED
from tests.fourth_type import MODEL_TYPES
from tests.worker.trainer.harness import curves, result, run
from worker.checkpoints import local
from worker.checkpoints.manifest import CheckpointRef
from worker.generation.engine import GenerationEngine
from worker.models.acgan import model
from worker.models.evaluation import accuracy_score, classifier, sample_metrics
from worker.trainer.spec import TrainerSpec
from worker.trainer.stop_signal import StopSignal

EACH = pytest.mark.parametrize(
    ("name", "preset"),
    [
        pytest.param(name, preset, marks=() if preset == "fast" else pytest.mark.slow)
        for name, kind in MODEL_TYPES.items()
        for preset in kind.presets
    ],
)


class StopAfter(StopSignal):
    """Requests a stop before step `steps` of this process. The loop reads the flag once per step."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        super().__init__()

    @property
    def stop_requested(self) -> bool:
        self._left -= 1
        return self._left < 0

    @stop_requested.setter
    def stop_requested(self, value: bool) -> None: ...


@pytest.fixture(autouse=True)
def _fourth_type(fourth_type: ModelType) -> None:
    """The suite runs on a fourth model type too."""


@pytest.fixture(autouse=True)
def _small_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifier trains on fewer images and evaluates fewer: only its figures are rougher."""
    monkeypatch.setattr(classifier, "TRAINING_IMAGES", 2_000)
    monkeypatch.setattr(sample_metrics, "CHECKPOINT_IMAGES", 60)
    monkeypatch.setattr(sample_metrics, "FINAL_IMAGES", 100)
    monkeypatch.setattr(model, "TRAINING_IMAGES", 200)
    monkeypatch.setattr(accuracy_score, "FEWEST_SEEN", 2_000)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def small_spec(name: str, preset: str, **fields: Any) -> TrainerSpec:
    kind = model_types.get(name)
    body = {
        "model_type": name,
        "preset": preset,
        "dataset": kind.fallback_dataset,
        "hyperparameters": dict(kind.small),
        "threads": 1,
        "seed": 5,
        "evaluation": "full",
        **fields,
    }
    return TrainerSpec.model_validate(body).completed()


@EACH
def test_run_stopped_within_an_epoch_resumes_to_the_same_result_and_is_sampled(
    name: str, preset: str, home: Path, tmp_path: Path
) -> None:
    kind, spec = model_types.get(name), small_spec(name, preset)
    (home / "home").mkdir(exist_ok=True)  # for the classifier cache: one classifier per dataset
    whole, parts = home / f"{name}-{preset}-whole", home / f"{name}-{preset}-parts"
    status, uninterrupted = run(whole, spec)
    assert status == EXIT_FINISHED, uninterrupted.events[-1]
    status, before = run(parts, spec, StopAfter(3))
    assert status == EXIT_STOPPED
    assert before.of(trainer_protocol.Stopped)[0].step == 3
    status, after = run(parts, spec)
    assert status == EXIT_FINISHED
    assert result(parts) == result(whole)
    assert curves(before.events + after.events) == curves(uninterrupted.events)
    assert set(result(whole)["finished"]["quality"]) == set(kind.quality)

    settings = Settings(home=home / "home", offline=True)
    storage = Storage.open_url(settings.resolved_storage_url)
    key = f"jobs/{name}-{preset}"
    storage.put_tree(whole / result(whole)["finished"]["checkpoint"], key)
    checkpoint = CheckpointRef(id="ckp_1", storage_key=key, sha256=result(whole)["sha256"], model_type=name)
    made = [
        GenerationEngine(settings)
        .generate(checkpoint, dict(kind.demo_sampling), 1, None, tmp_path)
        .files[0]
        .path.read_bytes()
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert len(made[0]) > 100


def test_resumed_run_keeps_its_precision(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    spec = small_spec("vae", "fast", precision="bfloat16")
    _, before = run(tmp_path / "run", spec, StopAfter(3))
    assert before.of(trainer_protocol.Started)[0].precision == "bfloat16"
    _, after = run(tmp_path / "run", spec.model_copy(update={"precision": "auto"}))
    assert after.of(trainer_protocol.Started)[0].precision == "bfloat16"


@pytest.mark.parametrize("name", ["lstm", "vae"])
def test_resumed_run_keeps_the_parts_of_its_batches(name: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    spec = small_spec(name, "fast", batch_parts=2)
    run(tmp_path / "whole", spec)
    run(tmp_path / "stopped", spec, StopAfter(3))

    status, _ = run(tmp_path / "stopped", spec.model_copy(update={"batch_parts": 1}))

    assert status == EXIT_FINISHED
    assert result(tmp_path / "stopped") == result(tmp_path / "whole")
    newest = local.newest_valid(tmp_path / "stopped").found
    assert newest is not None
    assert newest.manifest.batch_parts == 2


def test_run_with_whole_batches_continues_with_parts(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    spec = small_spec("vae", "fast")
    run(tmp_path / "run", spec, StopAfter(3))
    before = local.newest_valid(tmp_path / "run").found

    run(tmp_path / "run", spec.model_copy(update={"batch_parts": 2}))

    after = local.newest_valid(tmp_path / "run").found
    assert before is not None
    assert after is not None
    assert (before.manifest.batch_parts, after.manifest.batch_parts) == (1, 2)


@pytest.mark.parametrize(("name", "overrides"), [("gan", {}), ("acgan", {}), ("vae", {"batch_size": 1})])
def test_batches_of_a_run_that_needs_them_whole_are_not_split(name: str, overrides: dict[str, int]) -> None:
    hyperparameters = {**model_types.get(name).small, **overrides}
    with pytest.raises(SpecError, match="needs its whole batch") as refused:
        small_spec(name, "fast", hyperparameters=hyperparameters, batch_parts=2)
    assert refused.value.errors[0].pointer == "/batch_parts"
