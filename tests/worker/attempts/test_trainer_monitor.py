"""The delay between a trainer's reports and their storage."""

import pytest

from shared.db.session import SessionFactory
from shared.settings import Settings
from tests import jobs
from tests.waiting import wait_until
from tests.worker.attempts.harness import Background, has_checkpoint
from worker.attempts import trainer_monitor
from worker.context import WorkerContext
from worker.worker_heartbeat import WorkerHeartbeat


@pytest.mark.parametrize(("lasted_s", "write_interval_s"), [(0, 1), (60, 1), (250, 2.5), (36_000, 5)])
def test_delay_of_reports_is_a_hundredth_of_the_attempt_up_to_a_limit(lasted_s: float, write_interval_s: float) -> None:
    assert trainer_monitor.write_interval_s(lasted_s) == write_interval_s


def test_checkpoint_is_written_at_once_while_reports_are_delayed(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trainer_monitor.TrainerMonitor, "_write_when_due", lambda *_: None)  # it never is
    job_id = jobs.submitted(database, settings)
    running = Background(context, worker_heartbeat, "work")

    wait_until(lambda: has_checkpoint(database, job_id))
    context.stopping.set()
    running.join()
