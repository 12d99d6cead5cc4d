"""Warnings: raised once, again only after a recovery, and neither repeated nor lost by a kill and a resume."""

import json
import signal
from pathlib import Path

import pytest

from shared import trainer_protocol
from tests.waiting import PATIENCE_S
from tests.worker.trainer.harness import logged, run, start, toy_spec
from worker.models.health import HealthCheck, Healthy, LossExploding, Measurements, Unhealthy
from worker.trainer.tracking import HealthMonitor


class Above(HealthCheck):
    """Unhealthy above 10, healthy below 5; counts the checked values."""

    code = "above"

    def check(self, measurements: Measurements) -> Unhealthy | Healthy | None:
        self.memory["seen"] = self.memory.get("seen", 0) + 1
        value = measurements.values["x"]
        if value > 10:
            return Unhealthy(message=f"x is {value:g} as figure {self.memory['seen']}.", hint="Do less.")
        return Healthy() if value < 5 else None


def raised(monitor: HealthMonitor, values: list[float], first_step: int = 1) -> list[int]:
    """Steps at which a warning was raised."""
    return [
        step
        for step, value in enumerate(values, start=first_step)
        for _ in monitor.check(Measurements(stage="training", step=step, values={"x": value}))
    ]


def test_warning_is_raised_once_and_again_only_after_a_recovery() -> None:
    assert raised(HealthMonitor([Above()]), [1, 11, 12, 7, 11, 4, 11]) == [2, 7]


@pytest.mark.parametrize("cut", range(8))
def test_resumed_run_raises_the_warnings_of_an_uninterrupted_one(cut: int) -> None:
    values = [1.0, 11, 12, 7, 11, 4, 11]
    first = HealthMonitor([Above()])
    before = raised(first, values[:cut])
    kept = json.loads(json.dumps(first.state()))

    after = raised(HealthMonitor([Above()], kept), values[cut:], cut + 1)

    assert before + after == [2, 7]


def test_saved_state_is_not_changed_by_later_checks() -> None:
    monitor = HealthMonitor([LossExploding()])
    monitor.check(Measurements(stage="training", step=1, values={"loss": 1.0}))
    state = monitor.state()
    before = json.dumps(state)

    monitor.check(Measurements(stage="training", step=2, values={"loss": 2.0}))

    assert json.dumps(state) == before


def warnings_of(found: list[trainer_protocol.Event]) -> list[tuple[str, int | None, str]]:
    return [
        (event.code, event.step, event.message)
        for event in found
        if isinstance(event, trainer_protocol.Notice) and event.step is not None
    ]


# The decoder is overwritten after step 24: the loss triples, but stays finite.
SPOILT = {"fail_at": 24, "fail_with": "spoil", "learning_rate": 1e-5}


def test_exploding_loss_is_a_warning_with_values_and_a_hint(tmp_path: Path) -> None:
    status, report_buffer = run(tmp_path / "run", toy_spec(hyperparameters=SPOILT))

    assert status == trainer_protocol.EXIT_FINISHED
    (warning,) = (event for event in report_buffer.of(trainer_protocol.Notice) if event.step is not None)
    assert warning.code == "loss_exploding"
    assert warning.step == 27  # the third of the five steps that give the median level
    assert f"at step {warning.step}" in warning.message
    assert "learning_rate" in (warning.hint or "")
    assert warning.data["loss"] > 1.5 * warning.data["first"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[trainer_protocol.Event]:
    """Events of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, toy_spec(hyperparameters=SPOILT))
    return logged(folder)


@pytest.mark.parametrize("kill_at", [22, 29, 33])
def test_warnings_after_a_kill_and_a_resume_equal_those_of_an_uninterrupted_run(
    kill_at: int, undisturbed: list[trainer_protocol.Event], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    spec = toy_spec(hyperparameters=SPOILT)
    child = start(folder, spec, kill_at=kill_at)
    child.join(PATIENCE_S)
    assert child.exitcode == -signal.SIGKILL
    run(folder, spec)

    # Repeated steps report the same warning again: a job's history records it once.
    assert set(warnings_of(logged(folder))) == set(warnings_of(undisturbed))
    assert len(set(warnings_of(logged(folder)))) == 1
