"""The lines of a run on a terminal."""

import io
from pathlib import Path

from shared import trainer_protocol
from worker.trainer.report import TextLines


def shown(*events: trainer_protocol.Event) -> list[str]:
    stream = io.StringIO()
    lines = TextLines(Path("run"), stream)
    for event in events:
        lines.show(event)
    return stream.getvalue().splitlines()


def test_evaluation_without_a_validation_loss_is_shown() -> None:
    values = {"examples_per_s": 100.0, "frechet_distance": 12.5, "diversity": 0.8}
    assert shown(trainer_protocol.Metrics(epoch=2, step=40, values=values)) == [
        "epoch 2 evaluated: examples_per_s 100  frechet_distance 12.5  diversity 0.8"
    ]


def test_points_of_the_training_curves_are_not_shown() -> None:
    assert shown(trainer_protocol.Metrics(epoch=1, step=10, values={"d_loss": 0.7, "g_loss": 1.0})) == []


def test_notice_is_shown_with_its_hint() -> None:
    notice = trainer_protocol.Notice(code="mode_collapse", message="The images are alike.", hint="Lower the rate.")
    assert shown(notice) == ["mode_collapse: The images are alike. Lower the rate."]
