"""Text sampling against the model's own forward pass, and the distribution of the sampled characters."""

import resource
import sys
import warnings
from collections.abc import Iterator
from typing import cast

import numpy as np
import pytest
import torch

from shared.model_types.lstm import LstmHyperparameters, LstmSampling
from tests.worker.models.conftest import build, train
from worker.models.lstm import sampling as sampler
from worker.models.lstm.model import Lstm
from worker.models.lstm.sampling import CharacterSampler, gumbel, truncated


def small(preset: str = "fast", **overrides: object) -> Lstm:
    return cast(Lstm, build("lstm", preset, **overrides))


def peak_bytes() -> int:
    """The peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@pytest.mark.parametrize(
    "overrides", [{}, {"embedding": 0, "layers": (100, 50)}, {"layers": (1,)}, {"layers": (9, 30, 4)}]
)
def test_sampling_uses_the_logits_of_the_plain_forward_pass(overrides: dict[str, object]) -> None:
    model = small(**overrides)
    train(model, 0, 3)
    model.eval()
    prompt = "def f(x):\n    return x"
    ids = torch.tensor([[model.vocabulary.index(character)] for character in prompt])
    with torch.no_grad():
        expected_TBV, _ = model(ids)

    sampler = CharacterSampler(model)

    state = sampler.read(prompt, 3)
    np.testing.assert_allclose(state.logits_NV, expected_TBV[-1].expand(3, -1).numpy(), atol=1e-5)
    sampler.advance(state, np.array([1, 1, 2]))
    with torch.no_grad():
        longer_TBV, _ = model(torch.cat([ids, torch.tensor([[1]])]))
    np.testing.assert_allclose(state.logits_NV[:2], longer_TBV[-1].expand(2, -1).numpy(), atol=1e-5)


def test_temperature_0_equals_greedy_decoding() -> None:
    model = small()
    train(model, 0, 5)
    model.eval()
    text = "import "
    for _ in range(30):
        with torch.no_grad():
            logits, _ = model(torch.tensor([[model.vocabulary.index(c)] for c in text]))
        text += model.vocabulary[int(logits[-1, 0].argmax())]

    written = model.generate(LstmSampling(prompt="import ", length=30, temperature=0), seed=5).texts

    assert written == [text.removeprefix("import ")]


def test_samples_follow_the_softmax() -> None:
    model = small()
    texts = model.generate(LstmSampling(prompt="a", length=1, temperature=1, n=1024), seed=1).texts
    assert texts is not None
    with torch.no_grad():
        logits, _ = model.eval()(torch.tensor([[model.vocabulary.index("a")]]))
    expected = logits[0, 0].softmax(dim=0)
    found = torch.tensor([texts.count(character) for character in model.vocabulary]) / len(texts)

    deviation = (expected * (1 - expected) / len(texts)).sqrt()
    assert bool(((found - expected).abs() < 5 * deviation).all())


@pytest.fixture
def threads() -> Iterator[None]:
    """Torch's number of threads, restored after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_same_request_gives_the_same_texts_on_any_number_of_threads() -> None:
    model = small()
    sampling = LstmSampling(n=70, length=100, temperature=1)
    written = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        written.append(model.generate(sampling, seed=9).texts)

    assert written[0] == written[1] == written[2]
    assert len(set(written[0] or [])) == 70
    assert all(len(text) == 100 for text in written[0] or [])
    assert model.generate(sampling, seed=10).texts != written[0]


@pytest.mark.parametrize(("name", "size"), [("BLOCK", 7), ("NOISE", 1)])
def test_text_does_not_depend_on_the_chunk_size(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sampling = LstmSampling(n=3, length=100, temperature=1)
    expected = small().generate(sampling, seed=4).texts
    monkeypatch.setattr(sampler, name, size)

    assert small().generate(sampling, seed=4).texts == expected


def test_longer_text_begins_with_the_shorter_one() -> None:
    short, long = (
        small().generate(LstmSampling(n=2, length=length, temperature=1), seed=4).texts or [] for length in (30, 150)
    )

    assert short == [text[:30] for text in long]


def test_text_ends_before_the_first_stop_string() -> None:
    model = small()
    whole = (model.generate(LstmSampling(length=300, temperature=1), seed=2).texts or [""])[0]
    stop = whole[100:102]

    stopped = (model.generate(LstmSampling(length=300, temperature=1, stop=[stop, "€"]), seed=2).texts or [""])[0]

    assert stopped == whole[: whole.index(stop)]


def test_null_character_of_the_vocabulary_is_generated() -> None:
    model = Lstm(LstmHyperparameters(layers=(4,)), "\0a", "a")
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor([100.0, 0.0]))

    assert model.generate(LstmSampling(length=5, temperature=0), seed=1).texts == ["\0" * 5]


def test_vocabulary_of_25_000_characters_needs_no_square_matrix() -> None:
    vocabulary = "".join(chr(0x4E00 + index) for index in range(25_000))
    model = Lstm(LstmHyperparameters(layers=(8,), embedding=0), vocabulary, vocabulary[:3])

    before = peak_bytes()
    texts = CharacterSampler(model).texts(vocabulary[:3], LstmSampling(n=2, length=5, top_p=0.5), seed=1)

    assert [len(text) for text in texts] == [5, 5]
    assert peak_bytes() - before < 25_000**2


# --- sampled distribution ------------------------------------------------------------------------------------------


def sampled_shares(weights: list[float], sampling: LstmSampling, count: int = 40_000) -> list[float]:
    """Shares of the characters in `count` samples."""
    logits = truncated(np.log(np.array([weights], dtype=np.float32)), sampling)
    noise = gumbel(np.random.default_rng(0), (count, len(weights)), sampling.temperature)
    picked = (logits + noise).argmax(1)
    return [float(share) for share in np.bincount(picked, minlength=len(weights)) / count]


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [(0.25, [0.0004, 0.9930, 0.0066]), (0.75, [0.0591, 0.7919, 0.1490]), (1.0, [0.1, 0.7, 0.2])],
)
def test_temperature_reshapes_the_worked_example(temperature: float, expected: list[float]) -> None:
    assert sampled_shares([0.1, 0.7, 0.2], LstmSampling(temperature=temperature)) == pytest.approx(expected, abs=0.01)


def test_top_k_and_top_p_keep_only_the_most_likely_characters() -> None:
    weights = [0.1, 0.5, 0.25, 0.15]

    two = pytest.approx([0, 2 / 3, 1 / 3, 0], abs=0.01)
    assert sampled_shares(weights, LstmSampling(temperature=1, top_k=2)) == two
    assert sampled_shares(weights, LstmSampling(temperature=1, top_p=0.5)) == [0, 1, 0, 0]
    assert sampled_shares(weights, LstmSampling(temperature=1, top_p=0.6)) == two
    assert sampled_shares(weights, LstmSampling(temperature=1, top_k=2, top_p=0.6)) == [0, 1, 0, 0]
    assert sampled_shares(weights, LstmSampling(temperature=1, top_p=1.0)) == pytest.approx(weights, abs=0.01)


def test_top_p_applies_after_the_temperature() -> None:
    assert sampled_shares([0.1, 0.5, 0.25, 0.15], LstmSampling(temperature=0.25, top_p=0.9)) == [0, 1, 0, 0]


@pytest.mark.parametrize("temperature", [1e-300, 1e-6, 100.0])
@pytest.mark.parametrize("limits", [{}, {"top_p": 1e-12}, {"top_p": 0.999999}, {"top_k": 1}, {"top_k": 2}])
def test_extreme_settings_stay_finite(temperature: float, limits: dict[str, float]) -> None:
    sampling = LstmSampling.model_validate({"temperature": temperature, "n": 3, "length": 20, **limits})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = small().generate(sampling, seed=1).texts or []
        coldest = small().generate(LstmSampling(temperature=0, n=3, length=20), seed=1).texts

    assert [len(text) for text in texts] == [20, 20, 20]
    if temperature < 1e-5 or limits.get("top_k") == 1 or limits.get("top_p") == 1e-12:
        assert texts == coldest
