"""Weights of an LSTM that was trained on another text: the characters in common keep theirs."""

from collections.abc import Mapping

from torch import Tensor

from worker.models.base import Adapted, WeightChange

# Tensors with one row or column per character, and that axis. The first layer reads characters without an embedding.
_AXES = {"embedding.weight": 0, "head.weight": 0, "head.bias": 0}
_ONE_HOT_AXES = {"layers.0.weight_ih_l0": 1, "head.weight": 0, "head.bias": 0}
_MOST_SHOWN = 20


def with_vocabulary(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, before: str, now: str, is_one_hot: bool
) -> Adapted:
    """The weights with the rows of vocabulary `before` in the order of vocabulary `now`.

    own: the fresh weights of this model, which new characters keep. Tensors of other sizes stay as they are.
    """
    if before == now:
        return Adapted(weights=dict(weights))
    known = {character: index for index, character in enumerate(before)}
    places = [index for index, character in enumerate(now) if character in known]
    sources = [known[now[index]] for index in places]
    adapted = dict(weights)
    for name, axis in (_ONE_HOT_AXES if is_one_hot else _AXES).items():
        if name in weights and _others(own[name], axis) == _others(weights[name], axis):
            fresh = own[name].detach().cpu().clone()
            rows = weights[name].index_select(axis, weights[name].new_tensor(sources).long())
            adapted[name] = fresh.index_copy(axis, fresh.new_tensor(places).long(), rows)
    return Adapted(weights=adapted, changes=[_change(before, now, len(places))])


def _others(tensor: Tensor, axis: int) -> list[int]:
    """The sizes of a tensor's other axes."""
    return [size for number, size in enumerate(tensor.shape) if number != axis]


def _change(before: str, now: str, kept: int) -> WeightChange:
    fresh = sorted(set(now) - set(before))
    message = f"{kept} of the text's {len(now)} characters keep the weights of init_from"
    if fresh:
        shown = ", ".join(f"U+{ord(character):04X}" for character in fresh[:_MOST_SHOWN])
        more = f" and {len(fresh) - _MOST_SHOWN} more" if len(fresh) > _MOST_SHOWN else ""
        message += f"; {len(fresh)} start fresh: {shown}{more}"
    unused = len(set(before) - set(now))
    if unused:
        message += f"; {unused} of its characters are not in the text"
    data = {"kept": kept, "fresh": fresh[:100], "unused": unused}
    return WeightChange(code="alphabet_changed", message=f"{message}.", data=data)
