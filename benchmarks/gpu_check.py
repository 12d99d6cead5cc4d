"""Compare a GPU's results with the processor's, and time it: `python -m benchmarks.gpu_check`.

Every model type and preset takes one training step from the same weights, batch and noise on the processor and on the
GPU, and samples with the same seed: losses, gradients and samples have to agree. Every backend and precision on the
GPU has to continue from a checkpoint with the same bits. Steps recorded as CUDA graphs have to compute the same as
single operations. Then the steps of each backend and precision are timed. The check needs torch, NumPy, safetensors
and pydantic; it needs no server, no database and no files, because the data is built in.

Exit status: 0 all agree, 1 something differs, 2 there is no GPU. `--device cpu` tests the check itself on a machine
without a GPU.
"""

import argparse
import json
import math
import os
import sys
import time
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# CUDA reads this at its start. Without it, as in the trainer, the last digits of cuBLAS may vary between runs.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from benchmarks.training_steps import SEED, Training, model_and_data, stepper
from shared import model_types
from shared.model_types import ModelType
from worker import device as devices
from worker.data import Dataset
from worker.models import GenerativeModel
from worker.trainer.backend_choice import Backend, Precision
from worker.trainer.compute import Compute
from worker.trainer.cuda_graphs import CaptureFailed, step_state

# In float32 another order of summation differs by this much; bfloat16 rounds each product to 8 bits first.
LOSS_TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "bfloat16": 5e-2}
GRADIENT_TOLERANCE = 5e-3
PIXEL_TOLERANCE = 1e-3
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Finding:
    """One comparison."""

    what: str
    difference: float
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the allowed one; false if it is not a number."""
        return self.difference <= self.allowed

    def __str__(self) -> str:
        verdict = "ok  " if self.agrees else "DIFFERS"
        return f"  {verdict} {self.what}: {self.difference:.1e} (allowed {self.allowed:.0e})"


class DrawsOnProcessor(TorchFunctionMode):
    """Random tensors come from the processor's generator on every device, so that both devices get the same noise."""

    _samplers = frozenset({torch.rand, torch.randn, torch.randint})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func not in self._samplers:
            return func(*args, **options)
        wanted = options.pop("device", None)
        noise = func(*args, **options)
        return noise if wanted is None else noise.to(wanted)


# --- agreement ----------------------------------------------------------------------------------------------------


def step_on(model: GenerativeModel, dataset: Dataset, compute: Compute) -> dict[str, float]:
    """One training step on the dataset. Returns its metrics; the gradients stay on the model."""
    model.to(compute.device).train()
    model.start_training(dataset, seed=SEED)
    batch = next(iter(model.batches(1, 0)))
    torch.manual_seed(SEED)
    with DrawsOnProcessor(), compute.autocast():
        figures = model.training_step(batch)
    return {name: float(value) for name, value in figures.items()}


def compare_steps(model: GenerativeModel, dataset: Dataset, compute: Compute) -> list[Finding]:
    """Losses of one step, and in float32 the gradients as well, against the processor in float32."""
    reference, other = deepcopy(model), deepcopy(model)
    home = Compute(device=torch.device("cpu"), precision="float32", threads=compute.threads)
    expected, found = step_on(reference, dataset, home), step_on(other, dataset, compute)
    findings = [
        Finding(name, abs(found[name] - value) / max(abs(value), 1e-3), LOSS_TOLERANCE[compute.precision])
        for name, value in expected.items()
        if "loss" in name or name in {"reconstruction", "kl"}
    ]
    if compute.precision == "float32":
        findings.append(Finding("gradients", gradient_difference(reference, other), GRADIENT_TOLERANCE))
    return findings


def gradient_difference(reference: GenerativeModel, other: GenerativeModel) -> float:
    """The largest relative difference of a parameter's gradient, by norm.

    A gradient that consists of rounding errors alone (a bias before a normalisation) is compared with the largest one.
    """
    pairs = [
        (a.grad.detach().cpu(), b.grad.detach().cpu())
        for a, b in zip(reference.parameters(), other.parameters(), strict=True)
        if a.grad is not None and b.grad is not None
    ]
    assert pairs, "a training step leaves gradients"
    scale = max(float(a.norm()) for a, _ in pairs)
    return largest([float((a - b).norm() / (a.norm() + 1e-2 * scale)) for a, b in pairs])


def compare_samples(kind: ModelType, reference: GenerativeModel, other: GenerativeModel) -> list[Finding]:
    """Compare the samples of one generation request with the same weights and seed."""
    sampling = kind.sampling.validate_python(dict(kind.small_sampling))
    expected, found = (model.eval().generate(sampling, seed=SEED) for model in (reference, other))
    findings = []
    if expected.images is not None and found.images is not None:
        difference = float(np.abs(expected.images - found.images).max())
        findings.append(Finding("sampled pixels", difference, PIXEL_TOLERANCE))
    if expected.texts is not None:
        findings.append(Finding("sampled texts", float(expected.texts != found.texts), 0.0))
    return findings


def check(kind: ModelType, preset: str, where: torch.device, threads: int) -> list[Finding]:
    """All comparisons of one preset. TF32 is off, so float32 is computed in full."""
    small = dict(kind.small)
    # Dropout generates random numbers on the device itself. Adam's first step is the gradient's sign: a large one turns
    # rounding into other weights before the generator's half of an adversarial step.
    small |= {"learning_rate": 1e-6}
    small |= dict.fromkeys({"dropout", "recurrent_dropout"} & set(kind.hyperparameters.model_fields), 0.0)
    findings = []
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    model, dataset = model_and_data(kind, preset, **small)
    findings += compare_samples(kind, deepcopy(model), deepcopy(model).to(where))
    for precision in PRECISIONS:
        compute = Compute(device=where, precision=precision, threads=threads)
        for finding in compare_steps(model, dataset, compute):
            findings.append(Finding(f"{precision} {finding.what}", finding.difference, finding.allowed))
    can_split = kind.batch_can_be_split(model.hyperparameters)
    for way in [*ways(where, threads), *(ways(where, threads, batch_parts=2) if can_split else ())]:
        try:
            findings.append(compare_resumed(kind, preset, way, **kind.small))
            if way.backend != "eager":
                one = replace(way, backend="eager")
                findings.append(compare_ways(kind, preset, one, way, **kind.small))
        except CaptureFailed as error:
            findings.append(Finding(f"{name_of(way)}: {error}", math.inf, 0.0))
    return findings


def ways(where: torch.device, threads: int, batch_parts: int = 1) -> list[Compute]:
    """The backends and precisions of a trainer on this device."""
    backends: tuple[Backend, ...] = ("eager", "cuda_graph") if where.type == "cuda" else ("eager",)
    return [
        Compute(device=where, precision=precision, threads=threads, backend=backend, batch_parts=batch_parts)
        for backend in backends
        for precision in PRECISIONS
    ]


def name_of(compute: Compute) -> str:
    """The name of a backend and precision, and of a batch in parts."""
    name = compute.precision if compute.backend == "eager" else f"{compute.precision}, graph"
    return name if compute.batch_parts == 1 else f"{name}, {compute.batch_parts} parts"


def compare_resumed(kind: ModelType, preset: str, compute: Compute, **overrides: Any) -> Finding:
    """Compare four steps with two, a checkpoint, and two more in another model. No difference is allowed."""
    straight, stopped, resumed = (Training.fresh(kind, preset, compute, **overrides) for _ in range(3))
    expected = straight.steps(0, 4)
    stopped.steps(0, 2)
    tensors, values = stopped.model.training_state()
    resumed.model.load_state_dict({name: tensor.cpu() for name, tensor in stopped.model.state_dict().items()})
    resumed.model.load_training_state({name: tensor.cpu() for name, tensor in tensors.items()}, values)
    found = resumed.steps(2, 4)
    apart = [abs(a[name] - b[name]) for a, b in zip(expected[2:], found, strict=True) for name in a]
    return Finding(f"{name_of(compute)} resumed", largest([*apart, largest_difference(straight, resumed)]), 0.0)


def compare_ways(kind: ModelType, preset: str, one: Compute, other: Compute, **overrides: Any) -> Finding:
    """Compare four steps of two backends or precisions from the same weights."""
    trainings = [Training.fresh(kind, preset, compute, **overrides) for compute in (one, other)]
    for training in trainings:
        training.steps(0, 4)
    return Finding(f"{name_of(other)} against {name_of(one)}", largest_difference(*trainings), GRADIENT_TOLERANCE)


def largest_difference(one: Training, other: Training) -> float:
    """The largest difference of a tensor of the state: relative by norm, absolute where the norm is near zero."""
    states = step_state(one.model), step_state(other.model)
    assert states[0].keys() == states[1].keys()
    pairs = [(states[0][name].double(), states[1][name].double()) for name in states[0]]
    return largest([float((a - b).norm() / (a.norm() + 1e-6)) for a, b in pairs])


def largest(differences: list[float]) -> float:
    """The largest value; not a number if one of them is not a number, which Python's `max` ignores."""
    return float(torch.tensor(differences, dtype=torch.float64).max())


# --- speed --------------------------------------------------------------------------------------------------------


def steps_per_s(kind: ModelType, preset: str, compute: Compute, options: argparse.Namespace) -> float:
    """Training steps a second."""
    steps = stepper(kind, preset, compute, **({"batch_size": options.batch_size} if options.batch_size else {}))
    steps(max(1, options.steps // 5))
    began = time.perf_counter()
    last = steps(options.steps)
    seconds = time.perf_counter() - began
    assert math.isfinite(last), "the timed steps diverged"
    return options.steps / seconds


# --- the command --------------------------------------------------------------------------------------------------


def examine(where: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Run all checks and timings, and print each result as it arrives."""
    threads = devices.choose_threads(None)
    torch.set_num_threads(threads)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "the processor, compared with itself"
    print(f"{name}; torch {torch.__version__}", flush=True)
    rows: dict[str, Any] = {"device": name, "torch": torch.__version__, "agree": True, "models": {}}
    for kind in map(model_types.get, options.model_types):
        for preset in kind.presets:
            print(f"{kind.name}, {preset}", flush=True)
            findings = check(kind, preset, where, threads)
            speeds = {}
            print(*findings, sep="\n", flush=True)
            for way in ways(where, threads):
                with suppress(CaptureFailed):  # the failure is one of the findings
                    speeds[name_of(way)] = steps_per_s(kind, preset, way, options)
                    print(f"  {speeds[name_of(way)]:.1f} steps/s in {name_of(way)}", flush=True)
            rows["agree"] = rows["agree"] and all(finding.agrees for finding in findings)
            differences = {finding.what: finding.difference for finding in findings}
            rows["models"][f"{kind.name}, {preset}"] = {"differences": differences, "steps_per_s": speeds}
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Check, time, print. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    known = list(model_types.REGISTRY)
    parser.add_argument("--model-types", nargs="+", choices=known, default=known, help="only these")
    parser.add_argument("--steps", type=int, default=100, help="timed in each precision")
    parser.add_argument("--batch-size", type=int, help="of the timed steps; each preset's own")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("no GPU: torch sees none on this machine (`--device cpu` checks this program itself)", file=sys.stderr)
        return 2
    rows = examine(torch.device("cuda", 0) if options.device == "cuda" else torch.device("cpu"), options)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    print("all agree" if rows["agree"] else "DIFFERENCES: see above")
    return 0 if rows["agree"] else 1


if __name__ == "__main__":
    sys.exit(main())
