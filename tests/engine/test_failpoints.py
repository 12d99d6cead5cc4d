"""Dying at every named point between durable writes, in a real process, and starting again.

The points are read from the source: one that no test visits, or that no run reaches, fails here.
"""

import ast
import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from migrations import runner
from shared.db.session import SessionFactory, reading
from shared.db.tables import Checkpoint, Job, UploadedDataset
from shared.job_status import JobStatus
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.engine import programs
from tests.engine.programs import DEAD, dies
from tests.engine.restarting import check, restart
from tests.worker.trainer import harness
from worker.checkpoints import local
from worker.checkpoints.manifest import WEIGHTS, verify
from worker.sweeper import Sweeper

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "shared", "worker", "migrations", "stack", "client")
BOTH = ("sqlite", "postgresql")

# Points by what the process does that dies there; `:2` is the second visit.
SUBMIT = ["submit.inserted", "submit.committed", "submit.notified"]
SUBMIT_WITHOUT_REDIS = ["submit.committed", "submit.unnotified"]
WORK = [
    *("claim.written", "claim.committed", "attempt.prepared", "attempt.started"),
    *("upload.checkpoint_stored", "upload.checkpoint_stored:6", "upload.sample_stored"),
    *("upload.written", "upload.committed", "upload.committed:4", "upload.pruned"),
    *("publish.written", "finish.written", "finish.committed", "finish.published"),
]
STORE = [
    *("file.written", "file.written:3", "file.renamed", "file.renamed:3"),
    *("storage.tree_file_put:1", "storage.tree_file_put:2", "storage.tree_file_put:3"),
]
DAMAGE = ["damage.recorded"]
REAP = ["reap.written", "reap.committed"]
NOTIFY = ["notification.sent"]
GENERATE = ["generate.stored", "generate.written", "finish.committed"]
DELETE = ["delete.written"]
SWEEP = ["sweep.removed"]
UPLOAD = ["upload.noted", "file.written", "upload.stored"]
MIGRATE = ["migrate.revision", "migrate.revision:2", "migrate.applied"]
TRAIN = [
    *("checkpoint.file_written:1", "checkpoint.file_written:2", "checkpoint.manifest_written", "checkpoint.synced"),
    *("checkpoint.renamed", "checkpoint.complete", "checkpoint.hidden", "checkpoint.complete:5"),
    *("file.written", "file.renamed"),
]
VISITED = {
    plan.partition(":")[0]
    for plan in [
        *(*SUBMIT, *SUBMIT_WITHOUT_REDIS, *WORK, *STORE, *DAMAGE, *REAP, *NOTIFY, *GENERATE),
        *(*DELETE, *SWEEP, *UPLOAD, *MIGRATE, *TRAIN),
    ]
}

pytestmark = pytest.mark.slow
on_both = pytest.mark.parametrize("database_kind", BOTH, indirect=True)
on_sqlite = pytest.mark.parametrize("database_kind", BOTH[:1], indirect=True)


def points_in_the_source() -> Iterator[str]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                    [name] = node.args
                    assert isinstance(name, ast.Constant), f"{path}: a point's name is written out"
                    yield str(name.value)


def test_every_point_in_the_source_is_visited() -> None:
    found = list(points_in_the_source())
    assert sorted(found) == sorted(VISITED)


# --- one process dies -------------------------------------------------------------------------------------------


@on_both
@pytest.mark.parametrize("plan", SUBMIT)
def test_a_job_is_accepted_as_a_whole_or_not_at_all(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    assert dies(plan, programs.submit, settings) == DEAD
    with reading(database) as session:
        assert len(session.scalars(select(Job)).all()) == (plan != "submit.inserted")
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", SUBMIT_WITHOUT_REDIS)
def test_a_job_accepted_without_redis_is_not_lost(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    assert dies(plan, programs.submit_without_redis, settings) == DEAD
    assert jobs_now(database) == [JobStatus.QUEUED]
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", WORK)
def test_a_worker_that_dies_costs_an_attempt_at_most(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    jobs.submitted(database, settings)
    assert dies(plan, programs.work, settings) == DEAD
    restart(settings, database)
    check(settings, database, storage)


@on_sqlite
@pytest.mark.parametrize("plan", STORE)
def test_a_file_is_stored_as_a_whole_or_not_at_all(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    jobs.submitted(database, settings)
    assert dies(plan, programs.work, settings) == DEAD
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", DAMAGE)
def test_a_damaged_checkpoint_is_forgotten_once(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    jobs.submitted(database, settings)
    assert dies("upload.committed:3", programs.work, settings) == DEAD
    with reading(database) as session:
        newest = session.scalars(select(Checkpoint).order_by(Checkpoint.step.desc())).first()
    assert newest is not None
    storage.put_bytes(b"damaged", f"{newest.storage_key}/model.safetensors")
    requeue(database)

    assert dies(plan, programs.work, settings) == DEAD
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", REAP)
def test_a_reconciler_that_dies_while_it_reaps_loses_no_job(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, heartbeat_at=datetime.now(UTC) - timedelta(hours=1))
    assert dies(plan, programs.reconcile, settings.model_copy(update={"lease_s": 0.3})) == DEAD
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", NOTIFY)
def test_a_notification_that_nobody_noted_does_no_harm(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    jobs.set_values(database, jobs.submitted(database, settings), notified_at=None)
    assert dies(plan, programs.reconcile, settings) == DEAD
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", GENERATE)
def test_a_generation_is_published_once(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    trained = jobs.submitted(database, settings)
    assert dies(None, programs.work, settings) == 0
    jobs.generated(database, settings, model=trained)

    assert dies(plan, programs.generate, settings) == DEAD
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", [*DELETE, *SWEEP])
def test_a_delete_takes_rows_and_files_whenever_it_is_cut_short(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    jobs.submitted(database, settings)
    assert dies(None, programs.work, settings) == 0
    kept = [*storage.list_names("jobs")]
    assert kept != []

    if plan in DELETE:
        assert dies(plan, programs.delete, settings) == DEAD
        assert jobs_now(database) == [JobStatus.SUCCEEDED]
        assert [*storage.list_names("jobs")] == kept
        check(settings, database, storage)
    assert dies(None, programs.delete, settings) == 0
    if plan in SWEEP:
        assert dies(plan, programs.sweep, settings) == DEAD
    assert dies(None, programs.sweep, settings) == 0

    assert jobs_now(database) == []
    assert [*storage.list_names("jobs", unfinished=True)] == []


@on_both
@pytest.mark.parametrize("plan", UPLOAD)
def test_an_upload_cut_short_can_be_sent_again_and_leaves_no_file(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})
    assert dies(plan, programs.upload, settings) == DEAD
    with reading(database) as session:
        assert list(session.scalars(select(UploadedDataset))) == []

    time.sleep(0.6)
    for _ in range(2):  # what is removed is looked at once more
        Sweeper(settings, database, storage).round()
        time.sleep(0.6)
    assert [*storage.list_names("datasets", unfinished=True)] == []

    patient = settings.model_copy(update={"orphan_grace_s": 600})
    assert dies(None, programs.upload, patient) == 0
    [name] = storage.list_names("datasets")
    assert storage.read_bytes(f"datasets/{name}") == programs.TEXT


@pytest.mark.parametrize("plan", MIGRATE)
def test_a_migration_happens_as_a_whole_or_not_at_all(plan: str, empty_database_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(empty_database_url))
    assert dies(plan, programs.migrate, settings) == DEAD
    assert runner.current(settings)[0] is None

    assert dies(None, programs.migrate, settings) == 0
    now, newest = runner.current(settings)
    assert now == newest


# --- the trainer ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the weights that the run ends with when nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert dies(None, programs.train, folder) == 0
    return weights(folder)


@pytest.mark.parametrize("plan", TRAIN)
def test_a_trainer_that_dies_ends_with_the_same_weights(plan: str, undisturbed: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert dies(plan, programs.train, folder) == DEAD
    assert local.newest_valid(folder).damaged == []

    assert dies(None, programs.train, folder) == 0

    assert weights(folder) == undisturbed
    assert list(folder.rglob(".*")) == []
    for path in (folder / local.FOLDER).iterdir():
        verify(path)


def weights(folder: Path) -> str:
    result = harness.result(folder)
    file = folder / result["finished"]["checkpoint"] / WEIGHTS
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest == result["sha256"]
    return digest


# --- helpers ----------------------------------------------------------------------------------------------------


def jobs_now(database: SessionFactory) -> list[JobStatus]:
    with reading(database) as session:
        return list(session.scalars(select(Job.status)))


def requeue(database: SessionFactory) -> None:
    """A reconciler has taken the dead worker's job back."""
    with reading(database) as session:
        [job_id] = session.scalars(select(Job.id))
    jobs.set_values(database, job_id, status=JobStatus.QUEUED, worker=None, heartbeat_at=None)
