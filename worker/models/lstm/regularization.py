"""Activation regularization of an LSTM in training. Shapes: T time, B streams or windows, H units."""

import torch
from torch import Tensor


def activation_penalty_gradients(
    h_TBH: Tensor, x_TBH: Tensor, *, alpha: float, beta: float
) -> list[tuple[Tensor, Tensor]]:
    """Tensors, each with the gradient of its penalty, to add to that of the loss.

    h, x: hidden states before and after dropout. alpha: weight of x's mean square; beta: of the mean square of h's
    change from step to step of time (Merity et al. 2017, arXiv:1708.01009). As gradients they take less time than as
    terms of the loss.
    """
    found = []
    if alpha:
        found.append((x_TBH, x_TBH.detach() * (2 * alpha / x_TBH.numel())))
    if beta and len(h_TBH) > 1:
        change_TBH = h_TBH.detach().diff(dim=0)
        change_TBH *= 2 * beta / change_TBH.numel()
        gradient_TBH = torch.zeros_like(h_TBH)
        gradient_TBH[1:] += change_TBH
        gradient_TBH[:-1] -= change_TBH
        found.append((h_TBH, gradient_TBH))
    return found
