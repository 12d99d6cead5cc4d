"""Metric points depend only on the step."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.trainer.meter import Meter, Point


def figures(step: int) -> dict[str, torch.Tensor]:
    return (
        {"loss": torch.tensor(math.sin(step) * 1e3), "odd": torch.tensor(step % 2)}
        if step % 3
        else {"loss": torch.tensor(1 / step)}
    )


def points(steps: int, read_at: set[int], resume_at: set[int]) -> list[Point]:
    meter, found = Meter(steps), []
    for step in range(1, steps + 1):
        meter.add(step, figures(step))
        if step in read_at | resume_at | {steps}:
            found += meter.read().points
        if step in resume_at:
            meter = Meter(steps, meter.state())
    return found


@given(
    steps=st.integers(1, 1500),
    read_at=st.sets(st.integers(1, 1500)),
    resume_at=st.sets(st.integers(1, 1500), max_size=5),
)
def test_points_do_not_depend_on_reading_times_or_resumes(steps: int, read_at: set[int], resume_at: set[int]) -> None:
    assert points(steps, read_at, resume_at) == points(steps, set(), set())


def test_point_is_the_average_of_its_interval_and_the_last_step_ends_an_interval() -> None:
    meter = Meter(1001)  # intervals of three steps
    assert meter.interval == 3
    for step in range(1, 5):
        meter.add(step, {"loss": torch.tensor(float(step))})
    assert meter.read().points == [Point(3, {"loss": 2.0})]
    assert len(points(1001, set(), set())) == 334


def test_first_nonfinite_metric_is_named_with_its_step() -> None:
    meter = Meter(10)
    for step, value in enumerate([1.0, math.inf, math.nan], start=1):
        meter.add(step, {"loss": torch.tensor(value)})
    assert meter.read().first_nonfinite == ("loss", math.inf, 2)


def test_empty_meter_gives_an_empty_reading() -> None:
    reading = Meter(10).read()
    assert (reading.points, reading.recent, reading.first_nonfinite) == ([], {}, None)


def test_unread_partial_sums_cannot_be_saved() -> None:
    meter = Meter(10)
    meter.add(1, {"loss": torch.tensor(1.0)})
    with pytest.raises(AssertionError, match="read"):
        meter.state()
