"""The event files, as TensorBoard's own reader reads them."""

import io
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shared import trainer_protocol
from tests.waiting import PATIENCE_S
from tests.worker.trainer.harness import curves, logged, run, start, toy_spec

EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0}  # keep all points, not a sample
SAMPLE = "samples/first"


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance=EVERYTHING)
    accumulator.Reload()
    return accumulator


def scalars(accumulator: EventAccumulator) -> dict[tuple[str, int], float]:
    """Points by name and step, without the speed and the final figures. Each step must occur once."""
    found: dict[tuple[str, int], float] = {}
    for tag in accumulator.Tags()["scalars"]:
        for point in accumulator.Scalars(tag):
            assert (tag, point.step) not in found, f"{tag} has step {point.step} twice"
            found[tag, point.step] = point.value
    return {key: value for key, value in found.items() if key[0] != "examples_per_s" and "/" not in key[0]}


def texts(accumulator: EventAccumulator, tag: str) -> dict[int, str]:
    return {event.step: event.tensor_proto.string_val[0].decode() for event in accumulator.Tensors(tag)}


def assert_complete(folder: Path) -> None:
    """Check that curves, samples and final figures are present, each step once, as the run reported them."""
    accumulator = read(folder)
    reported = logged(folder)
    found, wanted = scalars(accumulator), curves(reported)
    assert found.keys() == wanted.keys()
    assert found == pytest.approx(wanted, rel=1e-6)  # TensorBoard stores float32
    samples = {
        e.step: e.path for e in reported if isinstance(e, trainer_protocol.SampleWritten) and e.path.endswith(".png")
    }
    images = accumulator.Images(SAMPLE)
    assert [image.step for image in images] == sorted(samples)
    for image in images:
        seen = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
        assert np.array_equal(seen, np.asarray(Image.open(folder / samples[image.step])))
        assert (image.height, image.width) == seen.shape[:2]
    (finished,) = (event for event in reported if isinstance(event, trainer_protocol.Finished))
    (quality,) = accumulator.Scalars("quality/val_loss")
    assert quality.step == finished.step
    assert quality.value == pytest.approx(finished.quality["val_loss"], rel=1e-6)
    assert "| hidden | 16 |" in texts(accumulator, "hyperparameters")[0]
    assert texts(accumulator, "samples/text")[10] == "    epoch 1\n    "


def test_tensorboard_reads_every_point_sample_and_setting_of_a_run(tmp_path: Path) -> None:
    run(tmp_path / "run", toy_spec())

    assert_complete(tmp_path / "run")


@pytest.mark.parametrize("checkpoint_every_s", [1e-6, 30.0], ids=["mid-epoch", "epoch"])
def test_killed_and_resumed_run_shows_each_step_once(checkpoint_every_s: float, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    spec = toy_spec(checkpoint_every_s=checkpoint_every_s)
    child = start(folder, spec, kill_at=25)
    child.join(PATIENCE_S)
    assert child.exitcode == -signal.SIGKILL
    newest = max((folder / "tensorboard").iterdir())
    with newest.open("ab") as torn:  # a truncated record
        torn.write(b"\x40\x00\x00\x00\x00\x00\x00\x00\x01\x02")
    status, _ = run(folder, spec)

    assert status == trainer_protocol.EXIT_FINISHED
    assert_complete(folder)


def test_event_files_at_a_checkpoint_have_all_points_up_to_it(tmp_path: Path) -> None:
    """The files stored with a checkpoint, together with those of the next attempt, contain all points."""
    folder, kept = tmp_path / "run", tmp_path / "kept"
    _, first = run(folder, toy_spec(hyperparameters={"fail_at": 25, "fail_with": "a bug"}))
    checkpoint = first.of(trainer_protocol.CheckpointWritten)[-1]
    before = first.events[: first.events.index(checkpoint)]
    (kept / "tensorboard").mkdir(parents=True)
    for event in before:
        if isinstance(event, trainer_protocol.EventFileWritten):
            name = Path(event.path).name
            (kept / "tensorboard" / name).write_bytes((folder / event.path).read_bytes())

    found = scalars(read(kept))

    assert checkpoint.step == 20
    assert found.keys() == curves(before).keys()
    assert max(step for _, step in found) == 20


def test_finished_event_file_is_not_modified(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    status, report_buffer = run(folder, toy_spec())
    assert status == trainer_protocol.EXIT_FINISHED
    reported = [event.path for event in report_buffer.of(trainer_protocol.EventFileWritten)]
    assert sorted(f"tensorboard/{path.name}" for path in (folder / "tensorboard").iterdir()) == reported
    before = {path: (folder / path).read_bytes() for path in reported}

    run(folder, toy_spec())

    assert before == {path: (folder / path).read_bytes() for path in reported}
