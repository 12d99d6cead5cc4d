"""The published optimizer: its formula by hand, and its state in a checkpoint."""

import math

import pytest
import torch
from torch import nn

from worker.models.optimization import load_optimizer_tensors, optimizer_tensors, set_learning_rate
from worker.models.rmsprop import RMSprop


def test_steps_equal_the_formula_for_tiny_gradients_too() -> None:
    gradients = [[0.5, 1e-5, 0.0], [-0.25, 1e-5, 1e-4], [0.125, 2e-5, 0.0]]
    weight = nn.Parameter(torch.zeros(3))
    optimizer = RMSprop([weight], 0.01)
    expected, squares = [0.0] * 3, [0.0] * 3
    for row in gradients:
        weight.grad = torch.tensor(row)
        optimizer.step()
        for i, gradient in enumerate(row):
            squares[i] = 0.9 * squares[i] + 0.1 * gradient**2
            expected[i] -= 0.01 * gradient / math.sqrt(squares[i] + 1e-7)

    torch.testing.assert_close(weight.detach(), torch.tensor(expected), rtol=1e-5, atol=1e-9)
    assert abs(weight[1].item()) < 2e-3  # far below √ε = 3e-4, a weight barely changes


def test_parameters_without_a_gradient_stay_unchanged() -> None:
    still, moving = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = RMSprop([still, moving], 0.01)
    moving.grad = torch.ones(2)

    optimizer.step()

    assert torch.equal(still.detach(), torch.ones(2))
    assert not torch.equal(moving.detach(), torch.ones(2))


def test_restored_optimizer_continues_with_the_same_bits() -> None:
    gradients = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    whole, halves = nn.Parameter(torch.ones(5)), nn.Parameter(torch.ones(5))
    straight, first, second = RMSprop([whole], 0.01), RMSprop([halves], 0.01), RMSprop([halves], 0.01)
    for number, gradient in enumerate(gradients):
        if number == 3:
            load_optimizer_tensors("optimizer", second, optimizer_tensors("optimizer", first))
        whole.grad, halves.grad = gradient.clone(), gradient.clone()
        straight.step()
        (first if number < 3 else second).step()

    assert torch.equal(whole, halves)


def test_learning_rate_as_a_tensor_stays_the_same_tensor_and_has_the_same_effect() -> None:
    """On a GPU, recorded steps read this tensor."""
    weights = [nn.Parameter(torch.ones(5)) for _ in range(2)]
    rate = torch.tensor(0.5)
    optimizers = [RMSprop([weights[0]], 0.5), RMSprop([weights[1]], rate)]
    for step in range(3):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            weight.grad = torch.linspace(-1, 1, 5) * (step + 1)
            set_learning_rate(optimizer, 0.01 / (step + 1))
            optimizer.step()

    assert optimizers[1].param_groups[0]["lr"] is rate
    assert float(rate) == pytest.approx(0.01 / 3)
    assert torch.equal(weights[0], weights[1])
