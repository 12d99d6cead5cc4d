"""Backend and precision of a new run: a function of contract, hardware and specification."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared import model_types, trainer_protocol
from shared.errors import SpecError
from tests.worker.trainer.harness import run, toy_spec
from tests.worker.trainer.toy import TOY
from worker.trainer.backend_choice import Choice, Hardware, Requested, choose

TOLERANT = replace(TOY, precision="bfloat16")


def on(device: Any, *, has_bfloat16: bool) -> Hardware:
    return Hardware(device=device, has_bfloat16=has_bfloat16)


@pytest.mark.parametrize(
    ("contract", "hardware", "backend", "precision"),
    [
        (TOLERANT, on("cpu", has_bfloat16=True), "eager", "bfloat16"),
        (TOLERANT, on("cpu", has_bfloat16=False), "eager", "float32"),
        (TOY, on("cpu", has_bfloat16=True), "eager", "float32"),
        (TOLERANT, on("cuda", has_bfloat16=True), "cuda_graph", "bfloat16"),
        (TOLERANT, on("cuda", has_bfloat16=False), "cuda_graph", "float32"),
        (TOY, on("cuda", has_bfloat16=True), "cuda_graph", "float32"),
    ],
)
def test_choice_of_backend_and_precision_follows_the_rule(
    contract: Any, hardware: Hardware, backend: str, precision: str
) -> None:
    choice = choose(contract, hardware, Requested())

    assert (choice.backend, choice.precision) == (backend, precision)
    assert choice.reason.keys() == {"backend", "precision"}
    assert all(sentence.endswith(".") for sentence in choice.reason.values())


def test_specification_overrides_the_rule_with_its_reason() -> None:
    requested = Requested(backend="eager", precision="bfloat16")

    choice = choose(TOY, on("cuda", has_bfloat16=False), requested)

    assert choice == Choice(
        backend="eager",
        precision="bfloat16",
        reason={
            "backend": "The specification names this backend.",
            "precision": "The specification names this precision.",
        },
    )


def test_cuda_graph_on_a_cpu_is_refused() -> None:
    with pytest.raises(SpecError, match="needs a GPU, and this run computes on cpu") as refused:
        choose(TOY, on("cpu", has_bfloat16=True), Requested(backend="cuda_graph"))

    assert [field.pointer for field in refused.value.errors] == ["/backend"]


@pytest.mark.parametrize("name", ["lstm", "vae", "acgan"])
def test_each_published_model_tolerates_bfloat16(name: str) -> None:
    assert model_types.get(name).precision == "bfloat16"


def test_rule_needs_no_torch() -> None:
    code = (
        "import sys; from shared import model_types; from worker.trainer.backend_choice import *;"
        "choose(model_types.get('vae'), Hardware(device='cpu', has_bfloat16=True), Requested());"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_run_reports_its_choice_and_a_resumed_run_keeps_it(tmp_path: Path) -> None:
    spec = toy_spec(precision="bfloat16", hyperparameters={"epochs": 1})
    _, first = run(tmp_path / "run", spec)
    _, again = run(tmp_path / "run", spec.model_copy(update={"precision": "float32"}))

    for report_buffer in (first, again):
        (started,) = report_buffer.of(trainer_protocol.Started)
        assert (started.backend, started.precision) == ("eager", "bfloat16")


def test_specification_of_an_earlier_version_still_loads() -> None:
    for kernel, backend in (("auto", "auto"), ("library", "eager"), ("compiled", "eager"), ("graph", "cuda_graph")):
        assert toy_spec(kernel=kernel).backend == backend
