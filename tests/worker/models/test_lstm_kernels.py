"""The LSTM's compiled loops against the same arithmetic in double precision."""

import numpy as np
import pytest

from shared.model_types.lstm import LstmSampling
from worker.models.lstm import kernels
from worker.models.lstm.kernels import adjust
from worker.models.lstm.sampling import limits


def test_likelihoods_have_a_share_of_the_draws_each() -> None:
    scores = np.array([-1, 2, -np.inf, 0.5, -300, 1], np.float32)
    shares = ((np.arange(100_000) + 0.5) / 100_000).astype(np.float32)

    picked = np.array([kernels._pick(scores.copy(), share) for share in shares])

    expected = np.exp(scores.astype(np.float64))
    assert np.bincount(picked, minlength=6) / 100_000 == pytest.approx(expected / expected.sum(), abs=2e-5)
    assert np.all(np.diff(picked) >= 0)


@pytest.mark.parametrize("share", [0.0, float(np.nextafter(np.float32(1), np.float32(0)))])
def test_the_least_and_the_largest_share_pick_what_can_be_picked(share: float) -> None:
    scores = np.full(1000, -np.inf, np.float32)
    scores[17:900] = np.random.default_rng(883).standard_normal(883, dtype=np.float32)

    picked = kernels._pick(scores, np.float32(share))

    assert picked == (17 if share == 0 else 899)


def test_exponentials_are_right_to_the_last_place() -> None:
    x = np.linspace(-80, 0, 100_001).astype(np.float32)
    expected = np.exp(x.astype(np.float64))

    found = np.array([kernels._exp(value) for value in x])

    assert np.max(np.abs(found - expected) / np.spacing(expected.astype(np.float32))) < 2
    assert kernels._exp(np.float32(-np.inf)) == 0


def probabilities(weights: list[float], sampling: LstmSampling) -> list[float]:
    logits = np.log(np.array(weights, dtype=np.float32))
    adjust(logits, *limits(sampling))
    scores = logits.astype(np.float64)
    exponentials = np.exp(scores - scores.max())
    return [float(value) for value in exponentials / exponentials.sum()]


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.25, [0.0004, 0.9930, 0.0066]), (0.75, [0.0591, 0.7919, 0.1490]), (1.0, [0.1, 0.7, 0.2])],
)
def test_temperature_reshapes_the_worked_example(temperature: float, expected: list[float]) -> None:
    drawn_from = probabilities([0.1, 0.7, 0.2], LstmSampling(temperature=temperature))

    assert drawn_from == pytest.approx(expected, abs=5e-5)


def test_top_k_and_top_p_keep_the_likeliest_and_nothing_else() -> None:
    weights = [0.1, 0.5, 0.25, 0.15]

    assert probabilities(weights, LstmSampling(temperature=1, top_k=2)) == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert probabilities(weights, LstmSampling(temperature=1, top_p=0.5)) == pytest.approx([0, 1, 0, 0])
    assert probabilities(weights, LstmSampling(temperature=1, top_p=0.6)) == pytest.approx([0, 2 / 3, 1 / 3, 0])
    assert probabilities(weights, LstmSampling(temperature=1, top_p=1.0)) == pytest.approx(weights)
