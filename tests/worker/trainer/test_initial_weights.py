"""Trainings that start from the weights of another run, on the same data and on other data."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shared import trainer_protocol
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED
from tests.worker.trainer.harness import ReportBuffer, curves, result, run
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS
from worker.trainer.spec import TrainerSpec

ENGLISH = "the quick brown fox jumps over the lazy dog and runs away\n" * 60
SAME_CHARACTERS = "a lazy dog jumps over the quick brown fox\nand the fox runs\n" * 60
FRENCH = "le vif renard brun saute par-dessus le chien paresseux à l'été\n" * 60
GREEK = "αβγ δεζ ηθι κλμ νξο πρς στυ φχψ ω\n" * 100

LSTM: dict[str, Any] = {
    "layers": [24, 16],
    "embedding": 8,
    "batch_size": 8,
    "window": 16,
    "examples_per_epoch": 1500,
    "epochs": 4,
    "warmup_steps": 0,
    "learning_rate": 1e-2,
}
NO_STEP: dict[str, Any] = {"epochs": 1, "learning_rate": 1e-12, "weight_decay": 0.0, "examples_per_epoch": 128}


def lstm(folder: Path, text: str, init_from: Path | None = None, **hyperparameters: Any) -> TrainerSpec:
    """A training on a text."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "text.txt"
    path.write_text(text, encoding="utf-8")
    body = {
        "model_type": "lstm",
        "dataset": "a-text",
        "dataset_path": path,
        "seed": 3,
        "threads": 1,
        "init_from": init_from,
        "hyperparameters": {**LSTM, **hyperparameters},
    }
    return TrainerSpec.model_validate(body).completed()


def published(folder: Path) -> Path:
    return folder / str(result(folder)["finished"]["checkpoint"])


def trained(folder: Path, text: str = ENGLISH, **hyperparameters: Any) -> Path:
    """The published checkpoint of a training on a text."""
    assert run(folder, lstm(folder, text, **hyperparameters))[0] == EXIT_FINISHED
    return published(folder)


def warnings(reports: ReportBuffer) -> list[trainer_protocol.Notice]:
    """The warnings about the adapted weights."""
    return [notice for notice in reports.of(trainer_protocol.Notice) if notice.is_warning and notice.step == 0]


def loss(reports: ReportBuffer) -> float:
    """The last held-out loss."""
    return max((step, value) for (name, step), value in curves(reports.events).items() if name == "val_loss")[1]


@pytest.mark.parametrize("window", [17, 8, 32])
def test_another_window_continues_from_the_trained_loss(window: int, tmp_path: Path) -> None:
    start = trained(tmp_path / "first")
    before = local.newest_valid(tmp_path / "first").found
    assert before is not None

    status, reports = run(tmp_path / "next", lstm(tmp_path / "next", ENGLISH, start, window=window, **NO_STEP))

    assert status == EXIT_FINISHED
    assert loss(reports) == pytest.approx(before.manifest.metrics["val_loss"], rel=0.05)
    assert warnings(reports) == []


def test_another_text_with_the_same_characters_starts_from_the_same_weights(tmp_path: Path) -> None:
    assert set(SAME_CHARACTERS) == set(ENGLISH)
    start = trained(tmp_path / "first")

    status, reports = run(tmp_path / "next", lstm(tmp_path / "next", SAME_CHARACTERS, start, **NO_STEP))

    assert status == EXIT_FINISHED
    weights, initial = (local.load_tensors(path / WEIGHTS) for path in (published(tmp_path / "next"), start))
    assert all(torch.allclose(weights[name], initial[name], atol=1e-6) for name in initial)
    assert warnings(reports) == []


@pytest.mark.parametrize("embedding", [8, 0])
def test_characters_in_common_keep_their_weights_and_new_ones_start_fresh(embedding: int, tmp_path: Path) -> None:
    start = trained(tmp_path / "first", embedding=embedding)
    continued = lstm(tmp_path / "next", FRENCH, start, embedding=embedding, **NO_STEP)
    fresh = lstm(tmp_path / "fresh", FRENCH, embedding=embedding, **NO_STEP)

    status, reports = run(tmp_path / "next", continued)
    assert (status, run(tmp_path / "fresh", fresh)[0]) == (EXIT_FINISHED, EXIT_FINISHED)

    old, new, untrained = (
        local.load_tensors(path / WEIGHTS)
        for path in (start, published(tmp_path / "next"), published(tmp_path / "fresh"))
    )
    before, now = sorted(set(ENGLISH)), sorted(set(FRENCH))
    for index, character in enumerate(now):
        expected = (
            old["head.weight"][before.index(character)] if character in before else untrained["head.weight"][index]
        )
        torch.testing.assert_close(new["head.weight"][index], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(new["layers.1.weight_hh_l0"], old["layers.1.weight_hh_l0"], atol=1e-6, rtol=0)
    [warning] = warnings(reports)
    assert (warning.code, warning.step) == ("alphabet_changed", 0)
    assert "U+00E9" in warning.message
    assert warning.data["kept"] == len(set(ENGLISH) & set(FRENCH))


def test_a_text_without_a_character_in_common_trains_with_a_fresh_alphabet(tmp_path: Path) -> None:
    start = trained(tmp_path / "first", text=ENGLISH.replace(" ", "").replace("\n", ""))

    status, reports = run(tmp_path / "next", lstm(tmp_path / "next", GREEK, start, epochs=1))

    assert status == EXIT_FINISHED
    [warning] = warnings(reports)
    assert warning.message.startswith(f"0 of the text's {len(set(GREEK))} characters keep the weights of init_from")


def test_an_alphabet_in_common_learns_faster_than_a_fresh_start(tmp_path: Path) -> None:
    start = trained(tmp_path / "first", epochs=12)
    _, continued = run(tmp_path / "next", lstm(tmp_path / "next", FRENCH, start, epochs=2))
    _, fresh = run(tmp_path / "fresh", lstm(tmp_path / "fresh", FRENCH, epochs=2))
    assert loss(continued) < loss(fresh)


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"layers": [24]}, "head.weight"),
        ({"layers": [24, 16, 16]}, "layers.2"),
        ({"layers": [24, 8]}, "layers.1"),
        ({"embedding": 0}, "layers.0"),
    ],
)
def test_another_shape_fails_with_the_tensor_and_a_code_of_its_own(
    other: dict[str, Any], name: str, tmp_path: Path
) -> None:
    start = trained(tmp_path / "first", epochs=1)

    status, reports = run(tmp_path / "next", lstm(tmp_path / "next", ENGLISH, start, **other))

    assert status == EXIT_FAILED
    [failed] = reports.of(trainer_protocol.Failed)
    assert failed.code == "init_from_unusable"
    assert name in failed.message
