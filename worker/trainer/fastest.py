"""In which precision and by which kernel a run computes: its own steps are timed with each before it begins."""

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
from typing import Any

import torch

from worker import device
from worker.data import Dataset
from worker.device import Compute
from worker.models import implementation
from worker.models.base import GenerativeModel
from worker.seeding import Seeder, Stream
from worker.trainer.building import build
from worker.trainer.cuda_graphs import CaptureFailed, Step, stepper
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec

# What a choice other than float32 by torch alone has to gain: below, its rounding buys nothing.
_WORTH = {"bfloat16": 1.15, "compiled": 1.05, "graph": 1.05}
_BUDGET_S = 0.6
_SHORT_RUN_S = 20.0
_MOST_ROUNDS = 8


def choose(spec: TrainerSpec, dataset: Dataset, compute: Compute, home: Path, reporter: Reporter) -> Compute:
    """The fastest way to compute this run on this machine, of those that the specification leaves open.

    Only for runs of more than about 20 s. The answer is kept in `home`, so that the same job on the same machine always
    computes the same way.
    """
    candidates = _candidates(spec, compute)
    if len(candidates) == 1:
        return candidates[0]
    memory = home / "fastest" / f"{_key(spec, candidates)}.json"
    chosen = _recall(memory, candidates)
    if chosen is None:
        chosen = _measure(spec, dataset, candidates, reporter)
        if home.is_dir():
            _remember(memory, chosen)
    return chosen


def _candidates(spec: TrainerSpec, compute: Compute) -> list[Compute]:
    """`compute` first, then what else may be chosen. Compiled loops compute in float32, on a processor."""
    found = [compute]
    on_gpu = compute.device.type == "cuda"
    if spec.precision == "auto" and spec.kernel != "compiled" and _has_bfloat16(compute.device):
        found.append(replace(compute, precision="bfloat16"))
    if spec.kernel == "auto" and on_gpu:
        found += [replace(each, kernel="graph") for each in found]
    if spec.kernel == "auto" and not on_gpu and compute.precision == "float32":
        kernels = implementation(spec.contract).kernels(spec.resolved_hyperparameters())
        found += [replace(compute, kernel=each) for each in kernels[1:]]
    return found


def _has_bfloat16(where: torch.device) -> bool:
    """Whether products of bfloat16 run in hardware."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # AVX512_BF16 or AMX; torch offers no public name for the question, and emulation is slower than float32.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


def _measure(spec: TrainerSpec, dataset: Dataset, candidates: list[Compute], reporter: Reporter) -> Compute:
    """Time steps of a throw-away model, the candidates in turn so that a busy machine is unfair to none."""
    model = build(spec, dataset, candidates[0], Seeder(spec.seed, candidates[0].device))
    model.train()
    batches = chain.from_iterable(model.batches(epoch, 0) for epoch in repeat(1))
    steps = model.hyperparameters.epochs * model.steps_per_epoch()
    steppers = {candidate: stepper(model, candidate) for candidate in candidates}
    if _time_step(steppers[candidates[0]], model, next(batches), candidates[0]) * steps < _SHORT_RUN_S:
        return candidates[0]
    for candidate in candidates[1:]:  # the first step of each pays for memory and code generation
        try:
            _time_step(steppers[candidate], model, next(batches), candidate)
        except CaptureFailed as error:
            del steppers[candidate]
            reporter.notice("graph_unavailable", f"Steps are launched operation by operation: {error}")
    best = dict.fromkeys(steppers, math.inf)
    began = time.monotonic()
    for _ in range(_MOST_ROUNDS):
        for candidate, step in steppers.items():
            best[candidate] = min(best[candidate], _time_step(step, model, next(batches), candidate))
        if time.monotonic() - began > _BUDGET_S:
            break
    del model, batches, steppers
    gc.collect()
    return min(best, key=lambda candidate: best[candidate] * _hurdle(candidate))


def _hurdle(candidate: Compute) -> float:
    return _WORTH.get(candidate.precision, 1.0) * _WORTH.get(candidate.kernel, 1.0)


def _time_step(step: Step, model: GenerativeModel, batch: object, compute: Compute) -> float:
    """Seconds of one training step: of processor time on the CPU, which other processes do not stretch."""
    clock = time.perf_counter if compute.device.type == "cuda" else time.process_time
    Seeder(0, compute.device).set(Stream.STEP)
    model.kernel = compute.kernel
    began = clock()
    figures = step(batch)
    for tensor in figures.values():
        tensor.item()  # waits for the device
    return clock() - began


def _key(spec: TrainerSpec, candidates: list[Compute]) -> str:
    """Names everything the answer depends on."""
    about: list[Any] = [spec.model_type, spec.dataset_name, spec.hyperparameters]
    about += [[each.device.type, each.threads, each.precision, each.kernel] for each in candidates]
    where = candidates[0].device  # a GPU is among the versions; a host name would change with every container
    about += [device.versions(where), platform.machine(), torch.backends.cpu.get_cpu_capability()]
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def _recall(path: Path, candidates: list[Compute]) -> Compute | None:
    try:
        found = json.loads(path.read_text())
        return next(each for each in candidates if found == {"precision": each.precision, "kernel": each.kernel})
    except (FileNotFoundError, ValueError, StopIteration):
        return None


def _remember(path: Path, chosen: Compute) -> None:
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps({"precision": chosen.precision, "kernel": chosen.kernel}))
    temporary.replace(path)
