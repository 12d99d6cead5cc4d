"""How a run chooses what it computes with."""

from pathlib import Path
from typing import Any

import pytest
import torch

from shared import trainer_protocol
from tests.worker.trainer.harness import ReportBuffer, run
from worker import data
from worker.device import Compute
from worker.models.base import Kernel
from worker.models.lstm.model import Lstm
from worker.trainer import fastest
from worker.trainer.report import Reporter
from worker.trainer.spec import TrainerSpec

TINY = {"epochs": 1, "layers": [8], "window": 16, "batch_size": 16, "examples_per_epoch": 512}


def lstm_spec(*, hyperparameters: dict[str, Any] | None = None, **fields: Any) -> TrainerSpec:
    body = {"model_type": "lstm", "dataset": "python-source", "threads": 1, "seed": 7}
    return TrainerSpec.model_validate(
        {**body, "hyperparameters": {**TINY, **(hyperparameters or {})}, **fields}
    ).completed()


def chosen(spec: TrainerSpec, home: Path) -> Compute:
    compute = Compute(device=torch.device("cpu"), precision="float32", threads=1)
    dataset = data.load("python-source", datasets_dir=None, home=home, offline=True)
    reporter = Reporter(home, ReportBuffer())
    try:
        return fastest.choose(spec, dataset, compute, home, reporter)
    finally:
        reporter.close()


def kept(home: Path) -> list[str]:
    return sorted(path.read_text() for path in (home / "fastest").glob("*")) if (home / "fastest").exists() else []


def test_a_long_run_times_its_steps_once_and_computes_the_same_way_ever_after(tmp_path: Path) -> None:
    spec = lstm_spec(hyperparameters={"epochs": 100_000, "examples_per_epoch": 1_000_000})

    first = chosen(spec, tmp_path)

    (answer,) = kept(tmp_path)
    assert f'"kernel": "{first.kernel}"' in answer
    other = {"library": "compiled", "compiled": "library"}[first.kernel]
    (path,) = (tmp_path / "fastest").iterdir()
    path.write_text(answer.replace(first.kernel, other))
    assert chosen(spec, tmp_path).kernel == other  # recalled, not timed again
    path.write_text("{}")
    assert chosen(spec, tmp_path).precision == first.precision
    assert kept(tmp_path) != ["{}"]


def test_a_short_run_is_not_kept_waiting(tmp_path: Path) -> None:
    assert chosen(lstm_spec(), tmp_path).kernel == "library"


@pytest.mark.parametrize("kernel", ["library", "compiled"])
def test_what_a_specification_asks_for_is_used_reported_and_kept_by_a_resumed_run(tmp_path: Path, kernel: str) -> None:
    spec = lstm_spec(kernel=kernel, precision="float32")
    _, report_buffer = run(tmp_path / "run", spec)
    assert [event.kernel for event in report_buffer.of(trainer_protocol.Started)] == [kernel]

    _, again = run(tmp_path / "run", spec.model_copy(update={"kernel": "auto"}))

    assert [event.kernel for event in again.of(trainer_protocol.Started)] == [kernel]


def test_a_run_that_resumes_into_its_final_evaluation_evaluates_with_its_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels: list[Kernel] = []
    evaluate = Lstm.final_quality

    def noted(model: Lstm) -> dict[str, float]:
        kernels.append(model.kernel)
        return evaluate(model)

    monkeypatch.setattr(Lstm, "final_quality", noted)
    spec = lstm_spec(kernel="compiled", precision="float32")
    _, whole = run(tmp_path / "run", spec)
    (tmp_path / "run" / "result.json").unlink()

    _, again = run(tmp_path / "run", spec)

    assert kernels == ["compiled", "compiled"]
    assert again.of(trainer_protocol.Finished) == whole.of(trainer_protocol.Finished)
