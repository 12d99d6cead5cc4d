"""The LSTM against arithmetic by hand, and on real text."""

import math
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from shared.errors import JobFailure, SpecError
from shared.model_types import get
from shared.model_types.lstm import LstmHyperparameters, LstmSampling
from tests.worker.models.conftest import build, real_datasets, train
from worker.data import TextCorpus, load
from worker.models.lstm.batches import Streams, Windows
from worker.models.lstm.model import Lstm


def small(preset: str = "fast", **overrides: object) -> Lstm:
    return cast(Lstm, build("lstm", preset, **overrides))


def test_unknown_characters_of_a_prompt_are_named() -> None:
    with pytest.raises(SpecError, match=r"U\+00E9 \(é\), U\+2603 \(☃\)") as caught:
        small().generate(LstmSampling(prompt="caf\u00e9 \u2603"), seed=1)

    assert caught.value.errors[0].pointer == "/sampling/prompt"


def test_streams_read_all_characters_in_order_across_steps() -> None:
    text = torch.arange(1000)
    hyperparameters = LstmHyperparameters(window=10, batch_size=3, examples_per_epoch=600)
    streams = Streams(text, hyperparameters, seed=1)

    batches = [*streams.batches(1, 0), *streams.batches(2, 0)]

    assert batches[0].fresh
    for before, after in pairwise(batches):
        assert torch.equal(after.targets[:-1], after.inputs[1:])
        if not after.fresh:
            assert torch.equal(after.inputs[0], before.targets[-1])
    assert sum(batch.fresh for batch in batches) == math.ceil(len(batches) / streams.steps_per_pass)


def test_windows_start_at_multiples_of_the_stride_and_exclude_validation_windows() -> None:
    text = torch.arange(2000)
    hyperparameters = LstmHyperparameters.model_validate(
        dict(get("lstm").presets["book"]) | {"examples_per_epoch": 320, "batch_size": 128}
    )
    windows = Windows(text, hyperparameters, seed=1)

    batches = list(windows.batches(1, 0))

    assert [len(batch.targets) for batch in batches] == [128, 128, 44]  # 320 minus the validation split of 1/16
    starts = torch.cat([batch.inputs[0] for batch in batches])
    assert bool((starts % 3 == 0).all())
    assert all(torch.equal(batch.targets, batch.inputs[0] + 60) for batch in batches)
    left_out = list(windows.validation_starts(1, 8))
    assert [len(batch) for batch in left_out] == [8, 8, 4]
    assert not set(starts.tolist()) & set(torch.cat(left_out).tolist())


@pytest.mark.parametrize("preset", ["fast", "book"])
def test_lstm_can_overfit_one_batch(preset: str) -> None:
    model = small(preset, learning_rate=1e-2, warmup_steps=0, dropout=0.0, schedule="constant", layers=(48,))
    batch = next(iter(model.batches(1, 0)))
    assert batch.fresh
    torch.manual_seed(0)
    for _ in range(150):
        loss = model.training_step(batch)["loss"]

    assert float(loss) < 0.2


@pytest.mark.parametrize("batching", ["streams", "windows"])
def test_loss_falls_on_real_source_text(batching: str) -> None:
    model = small(batching=batching, layers=(48,), batch_size=32, examples_per_epoch=50_000, warmup_steps=0)
    before = model.evaluate()["bits_per_char"]

    losses = [figures["loss"] for figures in train(model, 0, 60)]

    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:3])
    assert model.evaluate()["bits_per_char"] < 0.85 * before


def test_state_is_carried_across_a_change_of_precision() -> None:
    model = small(layers=(48,))
    batches = model.batches(1, 0)

    for enabled in (False, True, False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            assert math.isfinite(float(model.training_step(next(batches))["loss"]))


@pytest.mark.parametrize("batching", ["streams", "windows"])
def test_activation_regularization_penalises_states_and_their_changes(batching: str) -> None:
    none = {"activation_regularization": 0.0, "temporal_activation_regularization": 0.0}
    some = {"activation_regularization": 3.0, "temporal_activation_regularization": 7.0}
    plain, restrained, by_hand = (
        small(batching=batching, dropout=0.0, clip_norm=0.0, **weights) for weights in (none, some, none)
    )
    batch = plain.step_tensors(next(iter(plain.batches(1, 0))))
    losses = [model.device_step(*batch)["loss"] for model in (plain, restrained)]
    h_TBH = by_hand.embedding(batch[0])
    for layer in by_hand.layers:
        h_TBH, _ = layer(h_TBH)
    (3 * (h_TBH**2).mean() + 7 * ((h_TBH[1:] - h_TBH[:-1]) ** 2).mean()).backward()

    assert losses[0] == losses[1]  # only nats per character are reported
    assert by_hand.head.weight.grad is None
    for layers in zip(plain.layers, restrained.layers, by_hand.layers, strict=True):
        for one, both, other in zip(*(layer.parameters() for layer in layers), strict=True):
            torch.testing.assert_close(both.grad, one.grad + other.grad, rtol=1e-4, atol=1e-6)


def test_validation_figures_are_the_mean_over_the_last_tenth_of_the_text() -> None:
    model = small(dropout=0.0)
    train(model, 0, 3)
    corpus = TextCorpus("short", load("python-source", datasets_dir=None, home=Path(), offline=True).text[:4000])  # type: ignore[union-attr]
    model = Lstm.for_data(model.hyperparameters, corpus)
    model.start_training(corpus, seed=1)
    ids = corpus.ids.long()
    with torch.no_grad():
        logits, _ = model.eval()(ids[corpus.split - 64 : -1, None])
    tail = logits[64:, 0]
    targets = ids[corpus.split + 1 :]
    quality = model.final_quality()

    # The evaluation reads several streams, each warmed up by 64 characters, and drops an incomplete end.
    assert quality["val_loss"] == pytest.approx(float(cross_entropy(tail, targets)), abs=0.02)
    assert quality["bits_per_char"] == pytest.approx(quality["val_loss"] / math.log(2))
    assert quality["perplexity"] == pytest.approx(math.exp(quality["val_loss"]))


def test_shortest_valid_text_trains_and_a_shorter_one_is_refused() -> None:
    hyperparameters = LstmHyperparameters(window=44, batch_size=8, layers=(4,), examples_per_epoch=88)
    corpus = TextCorpus("tiny", "ab c" * 25)
    model = Lstm.for_data(hyperparameters, corpus)
    model.start_training(corpus, seed=1)

    assert train(model, 0, 2)
    assert math.isfinite(model.final_quality()["val_loss"])
    with pytest.raises(JobFailure, match="a window may be at most"):
        Lstm.for_data(hyperparameters.model_copy(update={"window": 45}), corpus)
    with pytest.raises(JobFailure, match="at least 100"):
        Lstm.for_data(hyperparameters, TextCorpus("tiny", "ab"))


def test_loss_falls_on_shakespeare(tmp_path: Path) -> None:
    corpus = load("shakespeare", datasets_dir=real_datasets(), home=tmp_path, offline=True)
    torch.manual_seed(0)
    model = Lstm.for_data(LstmHyperparameters(layers=(64,), batch_size=32, window=32, warmup_steps=0), corpus)
    model.start_training(corpus, seed=1)

    losses = [figures["loss"] for figures in train(model, 0, 60)]

    assert np.mean(losses[-10:]) < 3.0 < np.mean(losses[:3])
