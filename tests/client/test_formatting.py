from datetime import UTC, datetime
from typing import Any, cast

import pytest

from client.formatting import (
    ago,
    duration,
    metrics_line,
    outcome,
    progress_line,
    quality_line,
    sample_title,
    warning_facts,
)
from client.live import state_text
from client.schema import Artifact, Job
from tests.client.server import training_job


def job(**changes: Any) -> Job:
    return cast("Job", training_job(**changes))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "–"), (0.25, "0.2 s"), (42.4, "42 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (59.7, "1 min 00 s")],
)
def test_duration_is_written_in_common_units(seconds: float | None, expected: str) -> None:
    assert duration(seconds) == expected


def test_time_is_shown_as_an_age() -> None:
    now = datetime(2026, 11, 23, 4, 5, 16, tzinfo=UTC)
    assert ago("2026-11-23T04:05:06.000Z", now) == "10 s ago"
    assert ago("2026-11-23T04:05:26.000Z", now) == "0 s ago"  # the server's clock is slightly ahead


def test_model_in_a_list_shows_its_headline_figures() -> None:
    quality: dict[str, float | None] = {
        "class_accuracy": 0.98765,
        "worst_class_accuracy": 0.9,
        "frechet_distance": 3.14159,
        "recall": 0.5,
    }

    names = ["frechet_distance", "class_accuracy", "classification_accuracy_score"]
    assert quality_line(quality, names) == "frechet_distance 3.142  class_accuracy 0.9877"
    assert quality_line({"another": 1.5}, names) == quality_line({"another": 1.5}) == "another 1.5"
    assert quality_line({}, names) == ""


def test_running_job_shows_epoch_loss_speed_and_remaining_time() -> None:
    line = progress_line(job())
    assert line == "running  epoch 3/10  step 705/2350  30%  loss 28.41  22,000/s  eta 42 s"


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"waiting_for": "worker"}, ""),
        ({"waiting_for": None}, ""),
        ({"waiting_for": "running_quota"}, "as many jobs run as you may have running"),
        ({"waiting_for": "able_worker", "requested_device": "auto", "requires": []}, "no running worker can run it"),
        (
            {"waiting_for": "able_worker", "requested_device": "cuda", "requires": ["a100"]},
            "no running worker can run it: it needs cuda, a100",
        ),
    ],
)
def test_queued_job_shows_why_it_waits(wishes: dict[str, Any], words: str) -> None:
    queued = job(status="queued", queue_position=2, progress=None, attempt=0, **wishes)
    assert progress_line(queued) == "  ".join(filter(None, ("queued  position 2", words)))
    assert state_text(queued) == "queued at position 2" + (f": {words}" if words else "")


def test_queued_job_shows_its_position() -> None:
    assert progress_line(job(status="queued", queue_position=2, progress=None)) == "queued  position 2"


def test_queued_job_beyond_the_counted_positions_is_marked() -> None:
    far = job(status="queued", queue_position=1_000, queue_position_is_exact=False, progress=None)
    assert progress_line(far) == "queued  position over 1,000"
    assert state_text({**far, "attempt": 0}) == "queued at position over 1,000"


def test_position_of_a_server_without_a_limit_is_shown_unchanged() -> None:
    old = job(status="queued", queue_position=1_200, progress=None)
    del old["queue_position_is_exact"]
    assert progress_line(old) == "queued  position 1,200"


def test_progress_shows_the_named_metrics_in_their_order_or_all_of_them() -> None:
    metrics = {"learning_rate": 0.1, "g_loss": 2.0, "d_loss": 1.0, "class_accuracy": None}
    assert metrics_line(metrics, ["d_loss", "g_loss", "class_accuracy"]) == "d_loss 1  g_loss 2"
    assert metrics_line(metrics) == "learning_rate 0.1  g_loss 2  d_loss 1"
    assert metrics_line(None, ["d_loss"]) == ""


def test_failed_job_shows_the_reason_and_a_hint() -> None:
    error = {"code": "diverged", "message": "the loss is not a number", "hint": "Lower learning_rate."}
    message = outcome(job(status="failed", is_terminal=True, error=error))
    assert message == "trn_1 failed: the loss is not a number (diverged). Lower learning_rate."


def test_sample_is_titled_by_epoch_and_content() -> None:
    text = cast("Artifact", {"name": "epoch-0003-t0.25.txt", "epoch": 3, "details": {"temperature": 0.25}})
    grid = cast("Artifact", {"name": "epoch-0003-grid.png", "epoch": 3, "details": {}})
    assert sample_title(text) == "epoch 3 · T = 0.25"
    assert sample_title(grid) == "epoch 3 · grid"


def test_outcome_of_a_job_with_warnings_names_the_command_that_shows_them() -> None:
    warning = {"code": "nothing_learned", "message": "It has learned nothing.", "hint": "Train on.", "step": 40}
    ended = job(status="succeeded", is_terminal=True, warnings=[warning])

    assert outcome(ended).endswith(f"(1 warning: mimeo show {ended['id']})")
    assert warning_facts(ended["warnings"]) == [("warning", "It has learned nothing. Train on. (nothing_learned)")]
    assert "warning" not in outcome(job(status="succeeded", is_terminal=True))
