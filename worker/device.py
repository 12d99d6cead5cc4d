"""Where a run computes: device, threads and precision, and how torch is set for repeatable results."""

import os
import platform
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

from shared.errors import SpecError
from worker.trainer.backend_choice import Backend, Precision

# These models are small: beyond this many threads a step spends its time handing work out.
_MOST_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class Compute:
    """How a run computes. All fields go into its checkpoints, since results depend on them to the last bit."""

    device: torch.device
    precision: Precision
    threads: int
    backend: Backend = "eager"

    def autocast(self) -> AbstractContextManager[object]:
        """The context of a training step: bfloat16 products, or nothing."""
        on = self.precision == "bfloat16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=on)


def choose_device(wanted: str) -> torch.device:
    """`auto` takes a GPU where torch sees one. Raises SpecError for a GPU that is not there."""
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SpecError.at("/device", f"torch sees no GPU on this machine, so `{wanted}` cannot be used; try `cpu`")
    return torch.device("cuda", 0)


def choose_threads(wanted: int | None) -> int:
    """Threads for torch: as asked, else as OMP_NUM_THREADS says, else the cores this process or container may use."""
    if wanted is not None:
        return wanted
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # of nested levels, the outermost
    if said.isdecimal() and int(said) > 0:
        return int(said)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _container_cores(), _MOST_THREADS))


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
    """Set torch for results that repeat. On the CPU this costs nothing; on a GPU it forgoes cuDNN's autotuner."""
    torch.set_num_threads(compute.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory would hide reads of memory never written; no layer here does that, and it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if compute.device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 products: `float32` on a GPU means their 10-bit mantissa
        # Weights that dropout or a cast has made anew for this step lie anywhere; that is no mistake to warn of.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")


def versions(where: torch.device) -> dict[str, str]:
    """What else decides the last bit of what is computed there."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "safetensors": version("safetensors")}
    return found | ({"gpu": torch.cuda.get_device_name(where)} if where.type == "cuda" else {})


def _container_cores() -> int:
    """Whole cores of the cgroup's quota; many where there is none."""
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if not quota_file.is_file():
        return _MOST_THREADS
    quota, period = quota_file.read_text().split()
    return _MOST_THREADS if quota == "max" else max(1, round(int(quota) / int(period)))
