"""float32 or bfloat16: the run's own steps are timed in both before it begins."""

import gc
import hashlib
import json
import math
import os
import platform
import time
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path

import torch

from worker.data import Dataset
from worker.models.protocol import GenerativeModel
from worker.training import device
from worker.training.building import build
from worker.training.device import Compute, Precision
from worker.training.seeding import Seeder, Stream
from worker.training.spec import TrainerSpec

_PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")
_WORTH = 1.15  # bfloat16 has to be this much faster: below, its rounding buys nothing
_BUDGET_S = 0.6
_SHORT_RUN_S = 20.0
_MOST_ROUNDS = 8


def choose(spec: TrainerSpec, dataset: Dataset, compute: Compute, home: Path) -> Compute:
    """The faster precision for this run on this machine.

    Only where the processor multiplies bfloat16 itself, and only for runs of more than about 20 s. The answer is kept
    in `home`, so that the same job on the same machine always computes the same way.
    """
    if not _has_bfloat16(compute.device):
        return compute
    memory = home / "precision" / f"{_key(spec, compute)}.json"
    remembered = _recall(memory)
    if remembered is None:
        remembered = _measure(spec, dataset, compute)
        if home.is_dir():
            _remember(memory, remembered)
    return replace(compute, precision=remembered)


def _has_bfloat16(where: torch.device) -> bool:
    """Whether products of bfloat16 run in hardware."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # AVX512_BF16 or AMX; torch offers no public name for the question, and emulation is slower than float32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def _measure(spec: TrainerSpec, dataset: Dataset, compute: Compute) -> Precision:
    """Time steps of a throw-away model, the precisions in turn so that a busy machine is unfair to neither."""
    model = build(spec, dataset, compute, Seeder(spec.seed, compute.device))
    batches = chain.from_iterable(model.batches(epoch, 0) for epoch in repeat(1))
    steps = model.hyperparameters.epochs * model.steps_per_epoch()
    best = dict.fromkeys(_PRECISIONS, math.inf)
    began = time.monotonic()
    for round_number in range(_MOST_ROUNDS + 1):
        for precision in _PRECISIONS:
            seconds = _time_step(model, next(batches), replace(compute, precision=precision))
            if round_number > 0:  # the first step of each pays for memory and code generation
                best[precision] = min(best[precision], seconds)
            elif seconds * steps < _SHORT_RUN_S:
                return "float32"
        if round_number > 0 and time.monotonic() - began > _BUDGET_S:
            break
    del model, batches
    gc.collect()
    return "bfloat16" if best["float32"] > _WORTH * best["bfloat16"] else "float32"


def _time_step(model: GenerativeModel, batch: object, compute: Compute) -> float:
    """Seconds of one training step: of processor time on the CPU, which other processes do not stretch."""
    clock = time.perf_counter if compute.device.type == "cuda" else time.process_time
    Seeder(0, compute.device).set(Stream.STEP)
    began = clock()
    with compute.autocast():
        figures = model.training_step(batch)
    for tensor in figures.values():
        tensor.item()  # waits for the device
    return clock() - began


def _key(spec: TrainerSpec, compute: Compute) -> str:
    """Names everything the answer depends on."""
    about = [spec.model_type, spec.dataset_name, spec.hyperparameters, compute.device.type, compute.threads]
    about += [device.versions(), _processor(compute.device)]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def _processor(where: torch.device) -> str:
    """What does the work: a host name would change with every container."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def _recall(path: Path) -> Precision | None:
    try:
        return device.checked_precision(json.loads(path.read_text())["precision"])
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _remember(path: Path, precision: Precision) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"precision": precision}))
    temporary.replace(path)
