"""How a run computes, and the settings of torch for repeatable results."""

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from worker.trainer.backend_choice import Backend, Precision


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How a run computes. Its checkpoints record all fields, since results depend on them to the last bit."""

    device: torch.device
    precision: Precision
    threads: int
    backend: Backend = "eager"
    batch_parts: int = 1

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a training step: bfloat16 products, or nothing."""
        on = self.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)


def checked_precision(name: str) -> Precision:
    """A precision read from a file. Raises ValueError."""
    match name:
        case "float32" | "bfloat16":
            return name
    raise ValueError(f"there is no precision {name!r}")


def checked_backend(name: str) -> Backend:
    """A backend read from a file. Raises ValueError."""
    match name:
        case "eager" | "cuda_graph":
            return name
    raise ValueError(f"there is no backend {name!r}")


def set_up(compute: Compute) -> None:
    """Configure torch for repeatable results. On the CPU this costs nothing; on a GPU it disables cuDNN's autotuner."""
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new memory guards against reads of uninitialized memory; no layer here does that, and it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if compute.device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 products: `float32` on a GPU means their 10-bit mantissa
        # Dropout and casts of weights make new tensors in each step, which are not contiguous with each other.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
