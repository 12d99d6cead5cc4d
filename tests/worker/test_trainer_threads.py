"""The wait policy of a trainer's OpenMP threads follows from the training workers on the host."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from shared.db.session import SessionFactory, transaction
from shared.job_status import JobKind
from shared.services import workers
from shared.settings import Settings
from tests import jobs
from tests.worker.attempts.harness import claim
from worker.attempts.training import run_attempt
from worker.context import WorkerContext
from worker.openmp import SPINS
from worker.worker_heartbeat import WorkerHeartbeat


def environment_of_a_trainer(
    context: WorkerContext, worker_heartbeat: WorkerHeartbeat, tmp_path: Path
) -> dict[str, str]:
    """The environment inside the trainer process."""
    path = tmp_path / "environment.json"
    code = f"import json, os; open({str(path)!r}, 'w').write(json.dumps(dict(os.environ)))"
    run_attempt(replace(context, trainer=[sys.executable, "-c", code]), claim(context), worker_heartbeat)
    found: dict[str, str] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("has_neighbour", [False, True])
def test_wait_policy_is_active_for_a_single_trainer_and_passive_for_several(
    context: WorkerContext,
    worker_heartbeat: WorkerHeartbeat,
    database: SessionFactory,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_neighbour: bool,
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    jobs.submitted(database, settings)
    if has_neighbour:
        with transaction(database) as session:
            workers.record_heartbeat(
                session, worker_id="wrk_other", kind=JobKind.TRAINING, host=context.host, pid=1, device="cpu",
                job_id=None, jobs_done=0, examples_per_s=None, machine=context.machine, device_id="cpu:here",
            )  # fmt: skip

    environment = environment_of_a_trainer(context, worker_heartbeat, tmp_path)

    expected = (None, "PASSIVE") if has_neighbour else (str(SPINS), None)
    assert (environment.get("GOMP_SPINCOUNT"), environment.get("OMP_WAIT_POLICY")) == expected
