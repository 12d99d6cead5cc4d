"""The quality benchmark: the record of a real run, and the record of an interrupted run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import quality
from shared import trainer_protocol


def test_run_is_recorded_by_epoch_with_its_final_figures(tmp_path: Path) -> None:
    out = tmp_path / "quality.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.quality",
        "--model-type",
        "vae",
        "--dataset",
        "digits",
        "--epochs",
        "2",
    ]
    command += ["--set", "hidden=[16]", "--set", "activation=relu", "--set", "examples_per_epoch=512"]
    command += ["--threads", "1", "--out", str(out)]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert ended.returncode == 0, ended.stderr
    (record,) = json.loads(out.read_text())
    assert json.loads(ended.stdout) == record
    assert record["spec"]["hyperparameters"] == {
        "hidden": [16],
        "activation": "relu",
        "examples_per_epoch": 512,
        "epochs": 2,
    }
    assert [row["epoch"] for row in record["epochs"]] == [1, 2]
    assert all({"val_loss", "wall_s", "trained_s"} <= set(row) for row in record["epochs"])
    assert {"startup_s", "wall_s", "final_evaluation_s"} <= set(record)
    assert {"val_loss", "elbo"} <= set(record["quality"])
    assert "epoch 2" in ended.stderr


def test_training_time_excludes_evaluations_samples_and_checkpoints() -> None:
    stamped = quality.Stamped({"epochs": [], "health": []})
    about = {"device": "cpu", "precision": "float32", "epochs": 1, "steps": 9, "step": 0, "epoch": 1, "parameters": 1}
    stamped.take(trainer_protocol.Started(**about, versions={}), 10.0)
    stamped.take(trainer_protocol.Progress(epoch=1, step=9, examples_per_s=1.0), 14.0)
    stamped.take(trainer_protocol.Metrics(epoch=1, step=9, values={"val_loss": 2.0, "examples_per_s": 1.0}), 20.0)

    assert [(row["wall_s"], row["trained_s"]) for row in stamped.record["epochs"]] == [(20.0, 4.0)]


def test_records_are_appended_and_a_later_state_replaces_an_earlier_one(tmp_path: Path) -> None:
    out = tmp_path / "results" / "quality.json"
    first = {"started_at": "2026-01-01T00:00:00+00:00", "spec": {"seed": 1}, "status": "running"}
    second = {**first, "started_at": "2026-01-01T00:05:00+00:00"}

    quality.keep(out, first)
    quality.keep(out, second)
    quality.keep(out, {**first, "status": "finished"})

    assert [record["status"] for record in json.loads(out.read_text())] == ["running", "finished"]


def test_existing_run_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["quality", "--model-type", "vae", "--run-dir", str(tmp_path)])

    with pytest.raises(SystemExit):
        quality.main()
