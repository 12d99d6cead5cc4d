"""The results of a run, and its errors."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from shared import trainer_protocol
from shared.errors import SpecError
from shared.trainer_protocol import EXIT_FAILED, EXIT_FINISHED
from tests.worker.trainer.harness import ReportBuffer, curves, result, run, toy_spec
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, verify


def failure(report_buffer: ReportBuffer) -> trainer_protocol.Failed:
    (failed,) = report_buffer.of(trainer_protocol.Failed)
    assert isinstance(failed, trainer_protocol.Failed)
    return failed


def test_run_reports_its_start_curves_samples_checkpoints_and_end(tmp_path: Path) -> None:
    status, report_buffer = run(tmp_path / "run", toy_spec())
    assert status == EXIT_FINISHED
    (started,) = report_buffer.of(trainer_protocol.Started)
    assert (started.steps, started.step, started.epochs, started.precision) == (40, 0, 4, "float32")
    points = curves(report_buffer.events)
    assert {step for name, step in points if name == "loss"} == set(range(1, 41))
    assert {step for name, step in points if name == "val_loss"} == {10, 20, 30, 40}
    assert points["loss", 40] < points["loss", 1]
    (finished,) = report_buffer.of(trainer_protocol.Finished)
    assert report_buffer.events.index(finished) == len(report_buffer.events) - 1
    assert finished.quality["val_loss"] == pytest.approx(points["val_loss", int(finished.checkpoint[-8:])])
    assert {sample.epoch for sample in report_buffer.of(trainer_protocol.SampleWritten)} >= {0, 1, 4}


def test_samples_are_readable_files_with_captions(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    _, report_buffer = run(folder, toy_spec(hyperparameters={"epochs": 1}))
    before, _, picture, text = report_buffer.of(trainer_protocol.SampleWritten)
    assert (before.path, before.epoch, before.step) == ("samples/epoch-0000-first.png", 0, 0)
    with Image.open(folder / picture.path) as image:
        assert image.size == (112, 112) == (picture.meta["width"], picture.meta["height"])
        assert image.mode == "L"
    assert picture.path == "samples/epoch-0001-first.png"
    assert (folder / text.path).read_text() == "epoch 1\n"


def test_equal_seeds_give_equal_weights_and_other_seeds_others(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        run(tmp_path / name, toy_spec(seed=seed, hyperparameters={"epochs": 1}))
    assert result(tmp_path / "a")["sha256"] == result(tmp_path / "b")["sha256"]
    assert result(tmp_path / "a")["sha256"] != result(tmp_path / "c")["sha256"]


def test_interval_of_checkpoints_does_not_change_the_weights(tmp_path: Path) -> None:
    run(tmp_path / "rare", toy_spec())
    _, often = run(tmp_path / "often", toy_spec(checkpoint_every_s=1e-6))
    assert len(often.of(trainer_protocol.CheckpointWritten)) == 40
    assert result(tmp_path / "rare") == result(tmp_path / "often")


def test_best_checkpoint_is_published_when_the_last_is_worse(tmp_path: Path) -> None:
    spec = toy_spec(hyperparameters={"fail_at": 33, "fail_with": "spoil"}, checkpoint_every_s=1e-6)
    _, report_buffer = run(tmp_path / "run", spec)
    points = curves(report_buffer.events)
    best = min((step for name, step in points if name == "val_loss"), key=lambda step: points["val_loss", step])
    (finished,) = report_buffer.of(trainer_protocol.Finished)
    assert finished.checkpoint == f"checkpoints/{best:08d}"
    assert (best, finished.step) == (30, 40)
    assert finished.quality["val_loss"] == pytest.approx(points["val_loss", best])
    assert report_buffer.of(trainer_protocol.CheckpointWritten)[-1].is_best is False


def test_finished_run_reports_its_end_again_without_training(tmp_path: Path) -> None:
    _, first = run(tmp_path / "run", toy_spec())
    _, again = run(tmp_path / "run", toy_spec())
    assert again.events[-1] == first.events[-1]
    assert again.of(trainer_protocol.Metrics) == []


def test_folder_of_another_run_is_refused_with_the_differing_field(tmp_path: Path) -> None:
    run(tmp_path / "run", toy_spec())
    with pytest.raises(SpecError, match="epochs 4, not 5") as refused:
        run(tmp_path / "run", toy_spec(hyperparameters={"epochs": 5}))
    assert refused.value.errors[0].pointer == "/hyperparameters/epochs"


def test_init_from_starts_from_the_weights_of_another_run(tmp_path: Path) -> None:
    run(tmp_path / "first", toy_spec())
    checkpoint = tmp_path / "first" / result(tmp_path / "first")["finished"]["checkpoint"]
    trained = verify(checkpoint).manifest.metrics["val_loss"]
    spec = toy_spec(init_from=str(checkpoint), hyperparameters={"epochs": 1, "learning_rate": 1e-9})
    _, report_buffer = run(tmp_path / "second", spec)
    assert curves(report_buffer.events)["val_loss", 10] == pytest.approx(trained, rel=0.05)


def test_init_from_with_other_layer_sizes_names_the_tensor_that_does_not_fit(tmp_path: Path) -> None:
    run(tmp_path / "first", toy_spec(hyperparameters={"epochs": 1}))
    spec = toy_spec(init_from=str(tmp_path / "first/checkpoints/00000010"), hyperparameters={"hidden": 8})
    status, report_buffer = run(tmp_path / "second", spec)
    assert status == EXIT_FAILED
    assert failure(report_buffer).code == "init_from_unusable"
    assert "encoder.0.weight is (16, 784) there and (8, 784) here" in failure(report_buffer).message


def test_init_from_a_damaged_checkpoint_names_the_damaged_file(tmp_path: Path) -> None:
    run(tmp_path / "first", toy_spec(hyperparameters={"epochs": 1}))
    checkpoint = tmp_path / "first/checkpoints/00000010"
    (checkpoint / "model.safetensors").write_bytes(b"x")
    _, report_buffer = run(tmp_path / "second", toy_spec(init_from=str(checkpoint)))
    assert "model.safetensors is 1 bytes long" in failure(report_buffer).message


@pytest.mark.parametrize(
    ("fail_with", "code", "says"),
    [
        ("nan", "diverged", "loss became nan at step 14"),
        ("OutOfMemoryError", "out_of_memory", "more memory than is available"),
        ("a bug", "internal", "RuntimeError: a bug"),
    ],
)
def test_failed_run_reports_the_reason_and_keeps_its_last_checkpoint(
    fail_with: str, code: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    status, report_buffer = run(folder, toy_spec(hyperparameters={"fail_at": 13, "fail_with": fail_with}))
    assert status == EXIT_FAILED
    assert failure(report_buffer).code == code
    assert says in failure(report_buffer).message
    assert report_buffer.events[-1] is failure(report_buffer)
    assert ("Traceback" in capsys.readouterr().err) == (code == "internal")
    found = local.newest_valid(folder).found
    assert found is not None
    assert found.manifest.step == 10
    weights = local.load_tensors(found.path / WEIGHTS)
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())


def test_only_a_failure_by_memory_reports_the_memory_that_was_available(tmp_path: Path) -> None:
    reported = {}
    for fail_with in ("OutOfMemoryError", "a bug"):
        _, report_buffer = run(tmp_path / fail_with, toy_spec(hyperparameters={"fail_at": 3, "fail_with": fail_with}))
        reported[fail_with] = failure(report_buffer).available_bytes
    assert reported["a bug"] is None
    if sys.platform == "linux":
        assert reported["OutOfMemoryError"]


def test_missing_dataset_is_named_with_its_folder(tmp_path: Path) -> None:
    _, report_buffer = run(tmp_path / "run", toy_spec(dataset="kmnist"))
    failed = failure(report_buffer)
    assert failed.code == "dataset_unavailable"
    assert "KMNIST/raw/train-images-idx3-ubyte" in f"{failed.message} {failed.hint}"


def test_full_disk_is_a_clear_failure(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "events.jsonl").symlink_to("/dev/full")
    status, report_buffer = run(folder, toy_spec())
    assert status == EXIT_FAILED
    assert failure(report_buffer).message.startswith("The disk is full")


def test_truncated_line_does_not_corrupt_the_next_event(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "events.jsonl").write_text('{"type": "prog')
    run(folder, toy_spec(hyperparameters={"epochs": 1}))
    lines = (folder / "events.jsonl").read_text().splitlines()
    assert lines[0] == '{"type": "prog'
    assert json.loads(lines[1])["type"] == "started"
