"""Dropout of an LSTM layer's recurrent weights."""

from typing import cast

import torch
from torch.nn.functional import dropout

from tests.worker.models.conftest import build
from worker.models.lstm.model import Lstm
from worker.models.lstm.recurrence import run_layer


def small(**overrides: object) -> Lstm:
    return cast(Lstm, build("lstm", "fast", **overrides))


def test_recurrent_dropout_drops_the_same_weights_for_all_characters_of_a_step() -> None:
    model = small(layers=(16,), dropout=0.0, recurrent_dropout=0.5)
    layer = model.layers[0]
    x_TBI = torch.randn(9, 3, 64)

    torch.manual_seed(1)
    thinned_TBH, _ = run_layer(layer, x_TBI, None, 0.5)
    thinned_TBH.sum().backward()
    gradient = layer.weight_hh_l0.grad

    torch.manual_seed(1)
    kept = dropout(torch.ones_like(layer.weight_hh_l0), 0.5)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(gradient == 0, kept == 0)
    with torch.no_grad():
        layer.weight_hh_l0.mul_(kept)
        expected_TBH, _ = layer(x_TBI)
    torch.testing.assert_close(thinned_TBH, expected_TBH)


def test_recurrent_dropout_applies_only_in_training() -> None:
    model = small(layers=(16,), dropout=0.0, recurrent_dropout=0.5)
    ids_TB = torch.randint(len(model.vocabulary), (9, 3))
    with torch.no_grad():
        outputs = [model(ids_TB)[0] for _ in range(2)]
        model.eval()
        whole = [model(ids_TB)[0] for _ in range(2)]

    assert not torch.equal(*outputs)
    assert torch.equal(*whole)
