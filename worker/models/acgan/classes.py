"""Weights of a pair of networks that was trained with another number of classes, or without a moving average."""

from collections.abc import Mapping

from torch import Tensor, nn

from worker.models.base import Adapted, WeightChange

_AVERAGE, _GENERATOR = "average.", "generator."


def with_classes(own: nn.Module, weights: Mapping[str, Tensor], *, before: int, now: int) -> Adapted:
    """The weights with the layers of the classes fresh where the number of classes differs.

    With the same number, class i keeps the weights of class i: names of classes are no weights. A moving average
    starts as the generator where there was none, and is left out where this pair has none.
    """
    expected = own.state_dict()
    adapted = {name: tensor for name, tensor in weights.items() if name in expected or not name.startswith(_AVERAGE)}
    if not any(name.startswith(_AVERAGE) for name in weights):
        averages = [name for name in expected if name.startswith(_AVERAGE)]
        origins = {name: f"{_GENERATOR}{name.removeprefix(_AVERAGE)}" for name in averages}
        adapted |= {name: weights[origin] for name, origin in origins.items() if origin in weights}
    if before == now:
        return Adapted(weights=adapted)
    layers = [f"{name}." for name, module in own.named_modules() if _has_classes(name, module)]
    fresh = {name: tensor for name, tensor in expected.items() if name.startswith(tuple(layers))}
    message = f"init_from has {before} classes and this job {now}: the layers of the classes start fresh, all others"
    change = WeightChange(
        code="classes_changed", message=f"{message} keep their weights.", data={"before": before, "now": now}
    )
    return Adapted(weights={**adapted, **fresh}, changes=[change])


def _has_classes(name: str, module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding) or name == "discriminator.classifier"
