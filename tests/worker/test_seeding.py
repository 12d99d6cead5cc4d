"""The order of an epoch's examples: the same numbers in every partition, and little memory."""

import math

import pytest
import torch
from torch import Tensor

from worker.seeding import epoch_batches, generator


def whole_order(examples: int, drawn: int, *, seed: int, epoch: int) -> Tensor:
    """The order in one tensor: whole shuffles side by side, cut at `drawn`."""
    order = generator(seed, epoch)
    shuffles = [torch.randperm(examples, generator=order) for _ in range(math.ceil(drawn / examples))]
    return torch.cat(shuffles)[:drawn]


@pytest.mark.parametrize("drawn", [1, 7, 10, 11, 30, 64])
@pytest.mark.parametrize("size", [1, 3, 10, 25, 100])
def test_batches_are_the_pieces_of_the_whole_order(drawn: int, size: int) -> None:
    expected = whole_order(10, drawn, seed=5, epoch=2).split(size)

    found = list(epoch_batches(10, drawn, size, seed=5, epoch=2))

    assert [batch.tolist() for batch in found] == [batch.tolist() for batch in expected]


@pytest.mark.parametrize(("start", "stop"), [(0, 9), (3, 64), (10, 40), (25, 26), (63, 64), (64, 64), (20, 99)])
def test_a_part_is_equal_to_the_same_part_of_the_whole_order(start: int, stop: int) -> None:
    expected = whole_order(10, 64, seed=5, epoch=2)[start:stop]

    found = list(epoch_batches(10, 64, 4, seed=5, epoch=2, start=start, stop=stop))

    assert [index for batch in found for index in batch.tolist()] == expected.tolist()
    assert all(len(batch) == 4 for batch in found[:-1])


def test_a_long_epoch_begins_without_drawing_all_of_it() -> None:
    first = next(epoch_batches(1437, 10**15, 64, seed=5, epoch=2))

    assert first.tolist() == whole_order(1437, 64, seed=5, epoch=2).tolist()
