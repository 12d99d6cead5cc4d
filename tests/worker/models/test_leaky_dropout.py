"""Leaky ReLU and dropout in compiled loops, against torch's."""

import pytest
import torch
from torch.nn.functional import leaky_relu

from worker.models.leaky_dropout import leaky_dropout


def dropped(x: torch.Tensor, **changes: object) -> torch.Tensor:
    options = {"slope": 0.2, "rate": 0.3, "training": True, "kernel": "compiled"} | changes
    return leaky_dropout(x, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_what_is_kept_is_the_leaky_relu_and_its_gradient_scaled(order: torch.memory_format) -> None:
    x = torch.randn(8, 16, 7, 7).contiguous(memory_format=order).requires_grad_()
    upstream = torch.randn(8, 16, 7, 7)

    y = dropped(x)
    (y * upstream).sum().backward()

    kept = y != 0
    assert 0.67 < float(kept.float().mean()) < 0.73
    expected = leaky_relu(x.detach(), 0.2) / 0.7
    torch.testing.assert_close(y.detach(), expected * kept)
    slope = torch.where(x.detach() > 0, 1.0, 0.2) / 0.7
    assert x.grad is not None
    torch.testing.assert_close(x.grad, upstream * slope * kept)


def test_masks_follow_the_seed_and_not_the_threads_and_neighbours_are_independent() -> None:
    x = torch.ones(400_000)
    masks = []
    for seed, threads in ((1, 1), (1, 3), (2, 1)):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        masks.append(dropped(x) != 0)
    torch.set_num_threads(1)

    assert torch.equal(masks[0], masks[1])
    for other in (masks[2], masks[0].roll(1), masks[0].roll(64)):
        both = float((masks[0] & other).float().mean())
        assert both == pytest.approx(0.49, abs=0.005)


def test_without_training_nothing_is_dropped() -> None:
    x = torch.randn(1000)

    assert torch.equal(dropped(x, training=False), leaky_relu(x, 0.2))
    assert torch.equal(dropped(x, rate=0.0), leaky_relu(x, 0.2))
