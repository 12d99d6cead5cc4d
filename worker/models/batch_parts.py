"""A training step that reads its batch in parts, whose gradients it adds: it needs less memory than the whole batch."""

from collections.abc import Iterator, Mapping

from torch import Tensor


def parts_of(examples: int, parts: int) -> Iterator[tuple[slice, float]]:
    """The rows of each part of a batch, and the part's share of all examples. A batch of one example is one part."""
    size = -(-examples // parts)
    for start in range(0, examples, size):
        stop = min(start + size, examples)
        yield slice(start, stop), (stop - start) / examples


def weighted(value: Tensor, share: float) -> Tensor:
    """A mean over a part as its term of the mean over the batch. The whole batch costs no operation."""
    return value if share == 1 else value * share


def add_figures(total: dict[str, Tensor], part: Mapping[str, Tensor], share: float) -> None:
    """Add the means over a part to those over the batch."""
    for name, value in part.items():
        term = weighted(value, share)
        total[name] = total[name] + term if name in total else term
