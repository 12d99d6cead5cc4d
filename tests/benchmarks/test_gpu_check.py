"""The GPU check without a GPU: it reports that there is none, and finds differences on the processor itself."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_check
from shared import model_types
from shared.model_types import get

pytestmark = pytest.mark.usefixtures("torch_as_it_was")

PROCESSOR = torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_check_without_a_gpu_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main([]) == 2

    printed = capsys.readouterr()
    assert printed.err.startswith("no GPU: ")
    assert len(printed.err.splitlines()) == 1
    assert not printed.out


@pytest.mark.slow
@pytest.mark.parametrize("model_type", model_types.REGISTRY)
def test_processor_agrees_with_itself_and_every_preset_is_timed(
    model_type: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "figures.json"
    options = ["--device", "cpu", "--model-types", model_type, "--steps", "1", "--batch-size", "4"]

    status = gpu_check.main([*options, "--json", str(written)])

    assert status == 0, capsys.readouterr().out
    rows = json.loads(written.read_text())["models"]
    assert set(rows) == {f"{model_type}, {preset}" for preset in get(model_type).presets}
    for row in rows.values():
        assert {"float32 gradients"} < set(row["differences"])
        assert any(name.startswith("sampled") for name in row["differences"])
        assert all(speed > 0 for speed in row["steps_per_s"].values())


def test_check_fails_when_the_device_computes_other_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    compute = gpu_check.Compute(device=PROCESSOR, precision="float32", threads=1)
    step_on = gpu_check.step_on
    computed = []

    def with_a_wrong_weight(model, dataset, compute):  # type: ignore[no-untyped-def]
        computed.append(model)
        if len(computed) == 2:
            with torch.no_grad():
                model.encoder[0].weight[0] += 0.1
        return step_on(model, dataset, compute)

    monkeypatch.setattr(gpu_check, "step_on", with_a_wrong_weight)
    model, dataset = gpu_check.model_and_data(get("vae"), "book", batch_size=32)

    findings = gpu_check.compare_steps(model, dataset, compute)

    assert not all(finding.agrees for finding in findings)


def test_difference_that_is_not_a_number_is_a_failure() -> None:
    assert not gpu_check.Finding("loss", gpu_check.largest([0.0, float("nan"), 1e-6]), 1e-3).agrees
