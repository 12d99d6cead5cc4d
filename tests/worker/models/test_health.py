"""Each thing that can go wrong, provoked for real; and the presets as they are, which raise no alarm."""

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
    """Alarms of the first steps of a run: every step a point, an evaluation after every epoch, no final one."""
    alarms, found = HealthMonitor(model.health_checks()), []

    def check(stage: str, step: int, values: dict[str, float]) -> None:
        measurements = Measurements(stage=stage, step=step, values=values)  # type: ignore[arg-type]
        found.extend((code, step) for code, ill in alarms.check(measurements) if ill.message.endswith(".") and ill.hint)

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


def heard(check: HealthCheck, stage: str, *points: dict[str, float], first_step: int = 1000) -> list[int]:
    """Indices of the points that raise the alarm."""
    alarms = HealthMonitor([check])
    return [
        index
        for index, values in enumerate(points)
        if alarms.check(Measurements(stage=stage, step=first_step + index, values=values))  # type: ignore[arg-type]
    ]


# --- healthy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "steps", "overrides"),
    [
        ("lstm", 60, {"layers": (64, 64), "batch_size": 16, "window": 32, "examples_per_epoch": 512 * 20}),
        ("vae", 180, {"hidden": (512, 512, 128), "batch_size": 128, "examples_per_epoch": 128 * 60}),
    ],
)
def test_the_fast_preset_raises_no_alarm(name: str, steps: int, overrides: dict[str, object], cache_dir: Path) -> None:
    model = build(name, **overrides)
    model.cache_dir = cache_dir

    assert watched(model, steps) == []


def test_a_small_acgan_is_not_accused_of_collapse(cache_dir: Path) -> None:
    """Of the 1,437 builtin digits its discriminator soon knows each by heart; that it wins there is true."""
    model = build("acgan", width=8, batch_size=16, examples_per_epoch=16 * 120, ema=0.9)
    model.cache_dir = cache_dir

    assert codes(watched(model, 360)) <= {"discriminator_won"}


# --- provoked ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "learning_rate"), [("lstm", 3.0), ("acgan", 5.0)])
def test_a_learning_rate_far_too_large_makes_the_loss_explode(name: str, learning_rate: float, cache_dir: Path) -> None:
    schedule = {} if name == "acgan" else {"warmup_steps": 0}
    model = build(name, learning_rate=learning_rate, schedule="constant", **schedule)
    model.cache_dir = cache_dir

    found = watched(model, 40)

    assert codes(found) >= {"loss_exploding"}


def test_a_kl_term_that_outweighs_everything_collapses_the_posterior() -> None:
    model = build("vae", kl_weight=100.0, examples_per_epoch=32 * 60, warmup_steps=20)

    assert watched(model, 120) == [("posterior_collapse", 120)]


def test_a_small_text_read_many_times_is_learnt_by_heart(tmp_path: Path) -> None:
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


# --- where the lines are ----------------------------------------------------------------------------------------------


def test_a_collapse_is_raised_again_only_after_diversity_has_come_back() -> None:
    points = [{"diversity": d, "lowest_diversity": d} for d in (0.9, 0.2, 0.1, 0.4, 0.2, 0.1, 0.8, 0.1, 0.1)]

    assert heard(ModeCollapse(), "evaluation", *points) == [2, 8]


def test_one_poor_look_or_an_early_one_is_no_collapse() -> None:
    points = [{"diversity": d, "lowest_diversity": d} for d in (0.1, 0.9, 0.1, 0.4, 0.1)]

    assert heard(ModeCollapse(), "evaluation", *points) == []
    assert heard(ModeCollapse(), "evaluation", points[0], points[0], first_step=100) == []


def test_the_collapse_of_one_class_is_a_collapse() -> None:
    points = [{"diversity": 0.85, "lowest_diversity": 0.05}] * 3

    assert heard(ModeCollapse(), "evaluation", *points) == [1]


def test_a_discriminator_wins_only_where_the_generator_loses_ground() -> None:
    losing = [{"realness_accuracy": 1.0, "g_loss": 0.02 * n} for n in range(WATCHED_POINTS + 5)]
    holding = [{"realness_accuracy": 1.0, "g_loss": 1.0}] * (WATCHED_POINTS + 5)
    contested = [{"realness_accuracy": 0.8, "g_loss": 0.02 * n} for n in range(WATCHED_POINTS + 5)]

    assert heard(DiscriminatorWon(), "training", *losing) == [WATCHED_POINTS - 1]
    assert heard(DiscriminatorWon(), "training", *holding) == []
    assert heard(DiscriminatorWon(), "training", *contested) == []


def test_an_autoencoder_without_a_kl_term_is_not_accused_of_collapse() -> None:
    assert heard(PosteriorCollapse(0.0), "evaluation", {"kl": 0.0}) == []
    assert heard(PosteriorCollapse(1.0), "evaluation", {"kl": 0.0}) == [0]
    assert heard(PosteriorCollapse(1.0), "evaluation", {"kl": 0.0}, first_step=10) == []
    assert heard(PosteriorCollapse(1.0), "quality", {"kl": 1.0, "active_units": 0.0}) == [0]


def test_a_held_out_loss_that_wavers_is_no_memorising() -> None:
    wavering = [{"bits_per_char": b} for b in (2.0, 2.2, 2.2, 1.99, 2.2, 2.2, 2.0)]

    assert heard(Memorizing(), "evaluation", *wavering) == []


def test_a_long_verbatim_passage_in_a_sample_is_told() -> None:
    assert heard(VerbatimCopy(), "quality", {"longest_overlap": 31.0}) == []
    assert heard(VerbatimCopy(), "quality", {"longest_overlap": 240.0}) == [0]
