"""How a window of training is compared with its neighbours, and what is read of the trainer's reports."""

from pathlib import Path

import pytest

from benchmarks.service_slowdown import Reports, Window, slowdowns
from shared import events


def windows(*rates: float | None) -> list[Window]:
    return [Window(alone=bool(place % 2), rate=rate) for place, rate in enumerate(rates)]


def test_a_window_alone_is_compared_with_the_mean_of_the_two_beside_it() -> None:
    # A machine that gets slower all the time, and a trainer that is 2 % slower beside the others
    assert slowdowns(windows(100.0, 96.9, 90.0, 86.7, 80.0)) == pytest.approx([0.02, 0.02])


def test_windows_in_which_an_epoch_ended_are_left_out_with_what_they_would_be_compared_with() -> None:
    rates = (100.0, 103.0, None, 103.0, 100.0, None, 100.0, 102.0, 100.0)

    assert slowdowns(windows(*rates)) == pytest.approx([0.02])


def test_reports_are_read_once_each_and_only_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reported = [events.Progress(epoch=1, step=step, examples_per_s=1.0, metrics={}) for step in (1, 2, 3)]
    first, second, third = (event.model_dump_json() for event in reported)
    path.write_text(f"{first}\n{second[:9]}")
    reports = Reports(path)

    assert list(reports.news()) == reported[:1]
    path.write_text(f"{first}\n{second}\n{third}\n")
    assert list(reports.news()) == reported[1:]
    assert list(reports.news()) == []
