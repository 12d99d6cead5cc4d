"""RMSprop as in Keras, the optimizer of the published LSTM."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class RMSprop(Optimizer):
    """A step is rate · g / √(v + ε), where v is the moving average of g² (Hinton 2012, lecture 6 of his course).

    torch.optim.RMSprop has √v + ε, and at ε = 1e-7 takes steps of the full rate along nearly zero gradients. Here a
    weight whose gradient is far below √ε = 3e-4 hardly changes. share: of v that each step keeps.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float | Tensor, *, share: float = 0.9, epsilon: float = 1e-7
    ) -> None:
        super().__init__(parameters, {"lr": rate, "share": share, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None, "there is no line search"
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients: list[Tensor] = [parameter.grad for parameter in parameters]
            squares = [self._square(parameter) for parameter in parameters]
            torch._foreach_mul_(squares, group["share"])
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["share"])
            roots = torch._foreach_add(squares, group["epsilon"])  # noqa: SLF001 - as public as the others
            torch._foreach_sqrt_(roots)
            changes = torch._foreach_div(gradients, roots)  # noqa: SLF001
            torch._foreach_mul_(changes, -group["lr"])
            torch._foreach_add_(parameters, changes)

    def _square(self, parameter: nn.Parameter) -> Tensor:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["square_avg"] = torch.zeros_like(parameter)
        return state["square_avg"]  # type: ignore[no-any-return]
