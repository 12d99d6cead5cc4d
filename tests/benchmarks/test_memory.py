"""Memory estimates of the contracts against the peaks of real processes, in every sampling mode."""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from benchmarks.memory import __main__ as program
from benchmarks.memory.cases import CASES, Case
from benchmarks.memory.measure import measure
from shared.model_types import REGISTRY

FLOOR = 32 << 20  # bytes that an estimate may be above twice the peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")


def builtin_extremes() -> list[Case]:
    """The first and the last case on builtin data of each model type and stage; of trainings the first alone.

    Among them are the first trainings of `extremes.py`: epochs of many shuffles. One made-up text has many characters.
    """
    chosen = [case for case in CASES if case.name == "one-hot, 25,000 characters, 1 text of 1"]
    for (_, stage), group in groupby(CASES, key=lambda case: (case.model_type, case.stage)):
        cases = [case for case in group if case.dataset is None and case.text is None]
        chosen += cases[:1] if stage == "training" or len(cases) == 1 else [cases[0], cases[-1]]
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("case", builtin_extremes(), ids=lambda case: f"{case.model_type}-{case.stage}-{case.name}")
def test_an_estimate_is_at_least_the_peak_and_at_most_twice_the_peak(case: Case) -> None:
    row = measure(case)

    assert row["measured"] <= row["estimate"] <= 2 * row["measured"] + FLOOR


@pytest.mark.parametrize("kind", REGISTRY.values(), ids=list(REGISTRY))
def test_every_training_and_sampling_mode_has_cases(kind: Any) -> None:
    definitions = kind.sampling.json_schema().get("$defs", {}).values()
    modes = {each["properties"]["mode"]["const"] for each in definitions if "mode" in each.get("properties", {})}
    stages = {case.stage for case in CASES if case.model_type == kind.name}

    assert {"training"} | (modes - {"random"}) <= stages
    assert stages & {"sampling", "random"}


def test_results_keep_the_rows_of_other_runs(tmp_path: Path) -> None:
    def row(case: str, measured: int) -> dict[str, Any]:
        return {"model_type": "vae", "stage": "training", "case": case, "measured": measured}

    kept = tmp_path / "memory.json"
    program.keep(kept, [row("small", 1), row("large", 2)], {})
    program.keep(kept, [row("small", 3)], {})

    assert [each["measured"] for each in json.loads(kept.read_text())["rows"]] == [3, 2]
