"""The extent of the final evaluation: bounded by the training, the same on every machine, and said."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shared import model_types, trainer_protocol
from shared.trainer_protocol import EXIT_FINISHED
from tests.worker.trainer import toy
from tests.worker.trainer.harness import ReportBuffer, run, toy_spec
from worker import data
from worker.models import implementation
from worker.trainer import quality
from worker.trainer.spec import TrainerSpec

SMALL_VAE = {"epochs": 1, "hidden": [32], "examples_per_epoch": 256, "batch_size": 64}
PRESETS = [(kind.name, preset) for kind in model_types.REGISTRY.values() for preset in kind.presets]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_types.REGISTRY, "toy", toy.TOY)


def notices(buffer: ReportBuffer) -> list[Any]:
    return [each for each in buffer.of(trainer_protocol.Notice) if each.code == "quality_omitted"]


def quality_of(buffer: ReportBuffer) -> dict[str, float]:
    [finished] = buffer.of(trainer_protocol.Finished)
    return dict(finished.quality)


def test_evaluation_none_computes_nothing_and_says_so(tmp_path: Path) -> None:
    status, buffer = run(tmp_path / "run", toy_spec(evaluation="none", hyperparameters={"final_s": 600}))
    assert (status, quality_of(buffer)) == (EXIT_FINISHED, {})
    [notice] = notices(buffer)
    assert notice.data == {"omitted": ["val_loss"]}
    assert "evaluation: full" in notice.hint


def test_short_training_leaves_out_what_takes_longer_and_has_the_same_weights_and_figures(tmp_path: Path) -> None:
    body = {"model_type": "vae", "dataset": "digits", "hyperparameters": SMALL_VAE, "threads": 1, "seed": 5}
    found = {}
    for evaluation in ("auto", "full"):
        spec = TrainerSpec.model_validate({**body, "evaluation": evaluation}).completed()
        status, buffer = run(tmp_path / evaluation, spec)
        assert status == EXIT_FINISHED
        digest = buffer.of(trainer_protocol.CheckpointWritten)[-1].sha256
        found[evaluation] = digest, quality_of(buffer), notices(buffer)

    (digest, quick, [notice]), (full_digest, full, none) = found["auto"], found["full"]
    assert notice.data == {"omitted": ["reconstruction_accuracy"]}
    assert "reconstruction_accuracy" in notice.message
    assert (digest, none) == (full_digest, [])
    assert quick == {name: value for name, value in full.items() if name != "reconstruction_accuracy"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_presets_have_all_figures_and_jobs_of_a_second_the_quick_ones(name: str, preset: str, tmp_path: Path) -> None:
    kind = model_types.get(name)
    corpus = tmp_path / "text.txt"
    corpus.write_text("The quick brown fox jumps over the lazy dog.\n" * 25_000)
    path = corpus if kind.data_kind == "text" else None
    dataset = data.load(
        kind.fallback_dataset if path is None else "text",
        datasets_dir=None,
        home=tmp_path,
        offline=True,
        path=path,
        kind=kind.data_kind,
    )
    torch.manual_seed(0)
    model = implementation(kind).for_data(kind.resolve(preset, {}), dataset)
    model.start_training(dataset, seed=0)

    assert quality.extent("auto", model, model.hyperparameters.epochs * model.steps_per_epoch()) == "full"
    assert quality.extent("auto", model, 1) == "quick"
    assert [quality.extent(wanted, model, 1) for wanted in ("full", "quick", "none")] == ["full", "quick", "none"]
