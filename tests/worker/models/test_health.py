"""Each health check on a real failing training, and the presets, which raise no warning."""

from pathlib import Path

import pytest
import torch

from shared import model_types
from tests.worker.models.conftest import build, train
from worker.data import load
from worker.models import GenerativeModel, implementation
from worker.models.acgan.health import WATCHED_POINTS, DiscriminatorWon, ModeCollapse
from worker.models.health import HealthCheck, Measurements
from worker.models.lstm.health import Memorizing, VerbatimCopy
from worker.models.vae.health import PosteriorCollapse
from worker.trainer.tracking import HealthMonitor

Found = list[tuple[str, int]]  # code and step


def watched(model: GenerativeModel, steps: int) -> Found:
    """Warnings of the first steps of a run: each step is a point, and an evaluation follows every epoch."""
    monitor, found = HealthMonitor(model.health_checks()), []

    def check(stage: str, step: int, values: dict[str, float]) -> None:
        measurements = Measurements(stage=stage, step=step, values=values)  # type: ignore[arg-type]
        found.extend(
            (code, step)
            for code, warning in monitor.check(measurements)
            if warning.message.endswith(".") and warning.hint
        )

    per_epoch = model.steps_per_epoch()
    for epoch_start in range(0, steps, per_epoch):
        epoch_end = min(epoch_start + per_epoch, steps)
        for step, values in enumerate(train(model, epoch_start, epoch_end), start=epoch_start + 1):
            check("training", step, values)
        model.eval()
        check("evaluation", epoch_end, model.evaluate())
        model.train()
    return found


def codes(found: Found) -> set[str]:
    return {code for code, _ in found}


def warnings_at(check: HealthCheck, stage: str, *points: dict[str, float], first_step: int = 1000) -> list[int]:
    """Indices of the points that raise the warning."""
    monitor = HealthMonitor([check])
    return [
        index
        for index, values in enumerate(points)
        if monitor.check(Measurements(stage=stage, step=first_step + index, values=values))  # type: ignore[arg-type]
    ]


# --- healthy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "steps", "overrides"),
    [
        ("lstm", 60, {"layers": (64, 64), "batch_size": 16, "window": 32, "examples_per_epoch": 512 * 20}),
        ("vae", 180, {"hidden": (512, 512, 128), "batch_size": 128, "examples_per_epoch": 128 * 60}),
    ],
)
def test_fast_preset_raises_no_warning(name: str, steps: int, overrides: dict[str, object], cache_dir: Path) -> None:
    model = build(name, **overrides)
    model.cache_dir = cache_dir

    assert watched(model, steps) == []


def test_small_acgan_raises_no_collapse_warning(cache_dir: Path) -> None:
    """Its discriminator soon memorises the 1,437 built-in digits, so the warning that it has won is correct."""
    model = build("acgan", width=8, batch_size=16, examples_per_epoch=16 * 120, ema=0.9)
    model.cache_dir = cache_dir

    assert codes(watched(model, 360)) <= {"discriminator_won"}


# --- failing trainings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "learning_rate"), [("lstm", 3.0), ("acgan", 5.0)])
def test_too_large_learning_rate_raises_the_exploding_loss_warning(
    name: str, learning_rate: float, cache_dir: Path
) -> None:
    schedule = {} if name == "acgan" else {"warmup_steps": 0}
    model = build(name, learning_rate=learning_rate, schedule="constant", **schedule)
    model.cache_dir = cache_dir

    found = watched(model, 40)

    assert codes(found) >= {"loss_exploding"}


def test_too_large_kl_weight_raises_the_posterior_collapse_warning() -> None:
    model = build("vae", kl_weight=100.0, examples_per_epoch=32 * 60, warmup_steps=20)

    assert watched(model, 120) == [("posterior_collapse", 120)]


def test_many_epochs_on_a_small_text_raise_the_memorization_warning(tmp_path: Path) -> None:
    kind = model_types.get("lstm")
    text = load("python-source", datasets_dir=None, home=Path("unused"), offline=True).text[20_000:23_000]  # type: ignore[union-attr]
    (tmp_path / "small.txt").write_text(text)
    dataset = load("small", path=tmp_path / "small.txt", kind="text", datasets_dir=None, home=tmp_path, offline=True)
    settings = {"layers": (64,), "batch_size": 8, "window": 20, "examples_per_epoch": None, "epochs": 40}
    torch.manual_seed(3)
    hyperparameters = kind.resolve("fast", {**settings, "learning_rate": 1e-2, "warmup_steps": 0, "dropout": 0.0})
    model = implementation(kind).for_data(hyperparameters, dataset)
    model.train()
    model.start_training(dataset, seed=3)

    found = watched(model, 40 * model.steps_per_epoch())

    assert [code for code, _ in found] == ["memorising"]


LEARNING = {"lstm": {"learning_rate": 1e-2}, "vae": {"hidden": (64,), "learning_rate": 4e-3}}
FROZEN = {"learning_rate": 1e-30}


@pytest.mark.parametrize("name", ["lstm", "vae"])
def test_training_without_an_effect_raises_a_warning_at_its_end(name: str, cache_dir: Path) -> None:
    def final_warnings(**overrides: object) -> set[str]:
        model = build(name, warmup_steps=0, examples_per_epoch=6400, **overrides)
        model.cache_dir = cache_dir
        train(model, 0, model.steps_per_epoch())
        model.eval()
        quality = Measurements(stage="quality", step=40, values=model.final_quality())
        return {code for code, _ in HealthMonitor(model.health_checks()).check(quality)}

    assert "nothing_learned" in final_warnings(**FROZEN)
    assert "nothing_learned" not in final_warnings(**LEARNING[name])


# --- thresholds ------------------------------------------------------------------------------------------------------


def test_collapse_warning_is_repeated_only_after_a_recovery() -> None:
    points = [{"diversity": d, "lowest_diversity": d} for d in (0.9, 0.2, 0.1, 0.4, 0.2, 0.1, 0.8, 0.1, 0.1)]

    assert warnings_at(ModeCollapse(), "evaluation", *points) == [2, 8]


def test_single_or_early_poor_evaluation_is_no_collapse() -> None:
    points = [{"diversity": d, "lowest_diversity": d} for d in (0.1, 0.9, 0.1, 0.4, 0.1)]

    assert warnings_at(ModeCollapse(), "evaluation", *points) == []
    assert warnings_at(ModeCollapse(), "evaluation", points[0], points[0], first_step=100) == []


def test_collapse_of_one_class_is_a_collapse() -> None:
    points = [{"diversity": 0.85, "lowest_diversity": 0.05}] * 3

    assert warnings_at(ModeCollapse(), "evaluation", *points) == [1]


def test_discriminator_has_won_only_if_the_generator_gets_worse() -> None:
    losing = [{"realness_accuracy": 1.0, "g_loss": 0.02 * n} for n in range(WATCHED_POINTS + 5)]
    holding = [{"realness_accuracy": 1.0, "g_loss": 1.0}] * (WATCHED_POINTS + 5)
    contested = [{"realness_accuracy": 0.8, "g_loss": 0.02 * n} for n in range(WATCHED_POINTS + 5)]

    assert warnings_at(DiscriminatorWon(), "training", *losing) == [WATCHED_POINTS - 1]
    assert warnings_at(DiscriminatorWon(), "training", *holding) == []
    assert warnings_at(DiscriminatorWon(), "training", *contested) == []


def test_autoencoder_without_a_kl_term_raises_no_collapse_warning() -> None:
    assert warnings_at(PosteriorCollapse(0.0), "evaluation", {"kl": 0.0}) == []
    assert warnings_at(PosteriorCollapse(1.0), "evaluation", {"kl": 0.0}) == [0]
    assert warnings_at(PosteriorCollapse(1.0), "evaluation", {"kl": 0.0}, first_step=10) == []
    assert warnings_at(PosteriorCollapse(1.0), "quality", {"kl": 1.0, "active_units": 0.0}) == [0]


def test_fluctuating_validation_loss_is_no_memorization() -> None:
    wavering = [{"bits_per_char": b} for b in (2.0, 2.2, 2.2, 1.99, 2.2, 2.2, 2.0)]

    assert warnings_at(Memorizing(), "evaluation", *wavering) == []


def test_long_verbatim_passage_in_a_sample_raises_a_warning() -> None:
    assert warnings_at(VerbatimCopy(), "quality", {"longest_overlap": 31.0}) == []
    assert warnings_at(VerbatimCopy(), "quality", {"longest_overlap": 240.0}) == [0]
