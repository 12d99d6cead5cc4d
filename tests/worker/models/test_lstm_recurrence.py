"""One LSTM layer over a sequence, by torch and by compiled loops."""

from typing import cast

import pytest
import torch
from torch.nn.functional import dropout

from tests.worker.models.conftest import build
from worker.models.base import Kernel
from worker.models.lstm.model import Lstm
from worker.models.lstm.recurrence import run_layer


def small(**overrides: object) -> Lstm:
    return cast(Lstm, build("lstm", "fast", **overrides))


@pytest.mark.parametrize("recurrent_dropout", [0.0, 0.5])
@pytest.mark.parametrize(
    ("streams", "layers", "last"), [(1, (5,), False), (37, (24, 130), False), (20, (64, 12), True)]
)
def test_compiled_loops_compute_what_torch_computes_forward_and_back(
    streams: int, layers: tuple[int, ...], last: bool, recurrent_dropout: float
) -> None:
    model = small(layers=layers, dropout=0.0, recurrent_dropout=recurrent_dropout)
    ids_TB = torch.randint(len(model.vocabulary), (30, streams))
    start = [(torch.randn(1, streams, units), torch.randn(1, streams, units)) for units in layers]
    found: dict[str, list[torch.Tensor]] = {}
    for kernel in ("library", "compiled"):
        model.kernel = kernel
        model.zero_grad()
        torch.manual_seed(0)  # the same recurrent weights are left out
        state = [(h.clone().requires_grad_(), c.clone().requires_grad_()) for h, c in start]
        logits, after = model(ids_TB, state, last=last)
        (logits.sin().sum() + sum((h.cos() * c.sin()).sum() for h, c in after)).backward()
        parts = [tensor for pair in (*state, *after) for tensor in pair]
        found[kernel] = [
            logits,
            *parts,
            *(part.grad for part in parts if part.is_leaf),
            *(p.grad for p in model.parameters()),
        ]

    for mine, theirs in zip(found["compiled"], found["library"], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kernel", ["library", "compiled"])
def test_recurrent_dropout_leaves_out_the_same_weights_for_all_characters_of_a_step(kernel: Kernel) -> None:
    model = small(layers=(16,), dropout=0.0, recurrent_dropout=0.5)
    layer = model.layers[0]
    x_TBI = torch.randn(9, 3, 64)

    torch.manual_seed(1)
    thinned_TBH, _ = run_layer(layer, x_TBI, None, kernel, 0.5)
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


def test_recurrent_dropout_is_for_training_only() -> None:
    model = small(layers=(16,), dropout=0.0, recurrent_dropout=0.5)
    ids_TB = torch.randint(len(model.vocabulary), (9, 3))
    with torch.no_grad():
        drawn = [model(ids_TB)[0] for _ in range(2)]
        model.eval()
        whole = [model(ids_TB)[0] for _ in range(2)]

    assert not torch.equal(*drawn)
    assert torch.equal(*whole)


def test_a_step_of_compiled_loops_does_not_depend_on_the_number_of_threads() -> None:
    grads = []
    for threads in (1, 2, 3):
        model = small(layers=(20,), batch_size=40, dropout=0.0, clip_norm=0.0)
        model.kernel = "compiled"
        batch = next(iter(model.batches(1, 0)))
        torch.set_num_threads(threads)
        y_TBH, _ = run_layer(model.layers[0], model.embedding(batch.inputs).detach(), None, "compiled")
        torch.set_num_threads(1)
        y_TBH.sin().sum().backward()
        grads.append((y_TBH.detach(), model.layers[0].weight_hh_l0.grad))

    for outputs, gradient in grads[1:]:
        assert torch.equal(outputs, grads[0][0])
        torch.testing.assert_close(gradient, grads[0][1])
