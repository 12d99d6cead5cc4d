"""On the same machine and versions, a run that is killed anywhere and resumed ends like an uninterrupted one."""

import random
import signal
from pathlib import Path

import pytest
import torch

from shared import trainer_protocol
from tests.waiting import PATIENCE_S, wait_until
from tests.worker.trainer import toy
from tests.worker.trainer.harness import as_written_before, curves, logged, result, run, start, toy_spec
from worker import device
from worker.trainer.stop_signal import StopSignal

EPOCHS, STEPS = 4, 40  # ten steps per epoch


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run, with checkpoints only at the ends of epochs."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    child = start(folder, toy_spec())
    child.join(PATIENCE_S)
    assert child.exitcode == 0, (folder / "output.txt").read_text()
    return folder


def assert_same(folder: Path, undisturbed: Path) -> None:
    assert result(folder)["sha256"] == result(undisturbed)["sha256"]
    assert result(folder)["finished"] == result(undisturbed)["finished"]
    assert curves(logged(folder)) == curves(logged(undisturbed))
    for sample in (undisturbed / "samples").iterdir():
        assert (folder / "samples" / sample.name).read_bytes() == sample.read_bytes()


@pytest.mark.parametrize("step", [1, 7, 10, 25, 40])
def test_run_killed_after_any_step_resumes_to_the_same_weights_and_metrics(
    step: int, tmp_path: Path, undisturbed: Path
) -> None:
    folder = tmp_path / "run"
    # Checkpoints are frequent, so that the resume starts within an epoch.
    spec = toy_spec(checkpoint_every_s=1e-6)
    child = start(folder, spec, kill_at=step)
    child.join(PATIENCE_S)
    assert child.exitcode == -signal.SIGKILL, (folder / "output.txt").read_text()
    child = start(folder, spec)
    child.join(PATIENCE_S)
    assert child.exitcode == 0, (folder / "output.txt").read_text()
    assert_same(folder, undisturbed)


@pytest.mark.slow
def test_run_killed_repeatedly_at_random_times_ends_the_same(tmp_path: Path, undisturbed: Path) -> None:
    folder = tmp_path / "run"
    seed = random.SystemRandom().randrange(10_000)
    print("seed to replay:", seed)
    moments = random.Random(seed)
    spec = toy_spec(checkpoint_every_s=0.01)
    child = start(folder, spec)
    for kills in range(40):
        child.join(moments.uniform(0.05, 0.4 + 0.1 * kills))
        if child.exitcode is not None:
            break
        child.kill()
        child.join()
        child = start(folder, spec)
    assert child.exitcode == 0, (folder / "output.txt").read_text()
    assert_same(folder, undisturbed)


def test_stop_writes_a_checkpoint_and_the_next_start_continues_from_it(tmp_path: Path, undisturbed: Path) -> None:
    folder = tmp_path / "run"
    spec = toy_spec()
    control = StopSignal()
    control.request_stop()
    status, before = run(folder, spec, control)
    assert status == trainer_protocol.EXIT_STOPPED
    assert before.of(trainer_protocol.Stopped)[0].step == 0
    assert before.of(trainer_protocol.CheckpointWritten)[0].path == "checkpoints/00000000"
    status, after = run(folder, spec)
    assert status == trainer_protocol.EXIT_FINISHED
    assert [health.code for health in after.of(trainer_protocol.Notice)] == ["resumed"]
    assert_same(folder, undisturbed)


def test_sigterm_stops_with_a_checkpoint_at_the_interrupted_step(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    child = start(folder, toy_spec(hyperparameters={"step_s": 0.02, "epochs": 50}))
    wait_for(folder, trainer_protocol.Progress)
    child.terminate()
    child.join(PATIENCE_S)
    assert child.exitcode == trainer_protocol.EXIT_STOPPED
    stopped = logged(folder)[-1]
    assert isinstance(stopped, trainer_protocol.Stopped)
    assert (folder / "checkpoints" / f"{stopped.step:08d}" / "manifest.json").is_file()


def test_stop_during_the_final_evaluation_takes_effect_and_the_next_start_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given: a final evaluation without an end
    folder = tmp_path / "run"
    spec = toy_spec(hyperparameters={"final_s": 3600.0, "epochs": 1})
    child = start(folder, spec)
    output = folder / "output.txt"
    wait_until(lambda: output.exists() and "final evaluation" in output.read_text())

    child.terminate()

    child.join(PATIENCE_S)
    assert child.exitcode == trainer_protocol.EXIT_STOPPED
    monkeypatch.setattr(toy.Toy, "final_quality", toy.Toy.evaluate)
    status, report_buffer = run(folder, spec)
    assert status == trainer_protocol.EXIT_FINISHED
    assert report_buffer.of(trainer_protocol.Started)[0].step == 10


def test_damaged_newest_checkpoint_is_skipped_with_an_event(tmp_path: Path, undisturbed: Path) -> None:
    folder = tmp_path / "run"
    child = start(folder, toy_spec(checkpoint_every_s=1e-6), kill_at=25)
    child.join(PATIENCE_S)
    newest, older = _newest_two(folder)
    weights = newest / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    status, report_buffer = run(folder, toy_spec())
    assert status == trainer_protocol.EXIT_FINISHED
    fallback = report_buffer.of(trainer_protocol.Notice)[0]
    assert fallback.code == "checkpoint_fallback"
    assert newest.name in fallback.message
    assert report_buffer.of(trainer_protocol.Started)[0].step == int(older.name)
    assert_same(folder, undisturbed)


def test_run_continued_with_other_versions_reports_possible_rounding_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    control = StopSignal()
    control.request_stop()
    run(folder, toy_spec(), control)
    known = device.versions(torch.device("cpu"))
    monkeypatch.setattr(device, "versions", lambda where: {**known, "torch": "1.0"})

    _, report_buffer = run(folder, toy_spec())

    assert [health.code for health in report_buffer.of(trainer_protocol.Notice)] == ["resumed", "versions_changed"]
    assert report_buffer.of(trainer_protocol.Started)[0].versions["torch"] == "1.0"


@pytest.mark.parametrize("kernel", ["library", "compiled", "graph", None])
def test_run_continues_from_a_checkpoint_of_an_earlier_version_in_its_precision(
    kernel: str | None, tmp_path: Path, undisturbed: Path
) -> None:
    folder = tmp_path / "run"
    run(folder, toy_spec(), stopping())
    as_written_before(folder / "checkpoints" / "00000000", kernel)

    status, report_buffer = run(folder, toy_spec(precision="bfloat16"))

    assert status == trainer_protocol.EXIT_FINISHED
    (started,) = report_buffer.of(trainer_protocol.Started)
    assert (started.backend, started.precision) == ("eager", "float32")
    assert_same(folder, undisturbed)


def stopping() -> StopSignal:
    control = StopSignal()
    control.request_stop()
    return control


def _newest_two(folder: Path) -> list[Path]:
    return sorted((path for path in (folder / "checkpoints").iterdir() if path.name.isdigit()), reverse=True)[:2]


def wait_for(folder: Path, kind: type[object]) -> None:
    log = folder / "events.jsonl"
    wait_until(lambda: log.exists() and any(isinstance(event, kind) for event in logged(folder)))
