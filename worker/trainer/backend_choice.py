"""How a run computes, by a rule: a function of contract, hardware and settings.

The rule needs neither torch nor a model nor data, so the answer can be shown before a job is submitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.errors import SpecError
from shared.model_types import ModelType

Backend = Literal["eager", "cuda_graph"]
"""`eager`: PyTorch launches each operation. `cuda_graph`: a training step is recorded once and launched as a whole."""

Precision = Literal["float32", "bfloat16"]
"""Of the networks' products in training; weights, optimizers and losses are in float32."""

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """The hardware properties in the rule. has_bfloat16: the device multiplies bfloat16 in hardware."""

    device: Device
    has_bfloat16: bool

    @classmethod
    def detect(cls, device: Device) -> "Hardware":
        """The properties of this machine's processor or of its first GPU."""
        import torch  # noqa: PLC0415 - the rule itself needs no torch

        if device == "cuda":
            return cls(device=device, has_bfloat16=torch.cuda.is_bf16_supported(including_emulation=False))
        # AVX512_BF16 or AMX; PyTorch has no public function for it, and emulation is slower than float32.
        has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001
        return cls(device=device, has_bfloat16=bool(has_bfloat16))


@dataclass(frozen=True, kw_only=True)
class Requested:
    """The fields of a specification that override the rule."""

    backend: Literal["auto"] | Backend = "auto"
    precision: Literal["auto"] | Precision = "auto"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a run computes. reason: a sentence for each of the two fields, by name."""

    backend: Backend
    precision: Precision
    reason: Mapping[Literal["backend", "precision"], str]


def choose(contract: ModelType, hardware: Hardware, requested: Requested) -> Choice:
    """Backend and precision of a new run. Raises SpecError (`/backend`) for a backend that the device lacks."""
    backend, why_backend = _backend(hardware, requested)
    precision, why_precision = _precision(contract, hardware, requested)
    return Choice(backend=backend, precision=precision, reason={"backend": why_backend, "precision": why_precision})


def backend_on(device: str, backend: Backend) -> Backend:
    """The backend of a run that continues on this kind of device: CUDA graphs need a GPU."""
    return backend if device == "cuda" else "eager"


def _backend(hardware: Hardware, requested: Requested) -> tuple[Backend, str]:
    if requested.backend != "auto":
        if backend_on(hardware.device, requested.backend) != requested.backend:
            detail = f"`{requested.backend}` needs a GPU, and this run computes on {hardware.device}; use `auto`."
            raise SpecError.at("/backend", detail)
        return requested.backend, "The specification names this backend."
    if hardware.device == "cuda":
        return "cuda_graph", "On a GPU, a recorded step saves the launch of each operation."
    return "eager", "On a CPU, PyTorch launches each operation."


def _precision(contract: ModelType, hardware: Hardware, requested: Requested) -> tuple[Precision, str]:
    if requested.precision != "auto":
        return requested.precision, "The specification names this precision."
    if contract.precision == "float32":
        return "float32", f"The training of {contract.name} needs float32."
    if hardware.has_bfloat16:
        return "bfloat16", f"The hardware multiplies bfloat16, and the training of {contract.name} tolerates it."
    return "float32", "The hardware does not multiply bfloat16."
