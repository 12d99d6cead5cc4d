"""A real process exits at every named point between durable writes, and all parts start again.

The points are read from the source: a point that no test visits, or that no run reaches, fails here.
"""

import ast
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from migrations import runner
from shared.db.session import SessionFactory, reading
from shared.db.tables import Checkpoint, Job, Model, ReadyModel, UploadedDataset
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

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Case:
    """A process that exits at each of `points`; afterwards every job still has to succeed once.

    program: the process. given: the state before its start. jobs: rows of jobs after its exit.
    """

    points: Sequence[str]
    program: Callable[[Settings], None]
    given: Callable[[SessionFactory, Settings, Storage], object]
    jobs: int = 1
    databases: Sequence[str] = BOTH
    changes: Mapping[str, float] = field(default_factory=dict)


def nothing(_database: SessionFactory, _settings: Settings, _storage: Storage) -> None:
    """No job."""


def a_queued_job(database: SessionFactory, settings: Settings, _storage: Storage) -> str:
    return jobs.submitted(database, settings)


def a_job_without_a_notification(database: SessionFactory, settings: Settings, _storage: Storage) -> None:
    jobs.set_values(database, jobs.submitted(database, settings), notified_at=None)


def a_job_of_a_dead_worker(database: SessionFactory, settings: Settings, _storage: Storage) -> None:
    lease = jobs.running(database, settings)
    jobs.set_values(database, lease.job_id, heartbeat_at=datetime.now(UTC) - timedelta(hours=1))


def a_job_with_a_damaged_checkpoint(database: SessionFactory, settings: Settings, storage: Storage) -> None:
    jobs.submitted(database, settings)
    assert dies("upload.committed:3", programs.work, settings) == DEAD
    with reading(database) as session:
        newest = session.scalars(select(Checkpoint).order_by(Checkpoint.step.desc())).first()
    assert newest is not None
    storage.put_bytes(b"damaged", f"{newest.storage_key}/model.safetensors")
    requeue(database)


def a_generation_job(database: SessionFactory, settings: Settings, storage: Storage) -> None:
    trained = a_queued_job(database, settings, storage)
    assert dies(None, programs.work, settings) == 0
    jobs.generated(database, settings, model=trained)


# `point:2` is the second visit of a point.
CASES = {
    "submission_rolled_back": Case(points=["submit.inserted"], program=programs.submit, given=nothing, jobs=0),
    "submission": Case(points=["submit.committed", "submit.notified"], program=programs.submit, given=nothing),
    "submission_without_redis": Case(
        points=["submit.committed", "submit.unnotified"], program=programs.submit_without_redis, given=nothing
    ),
    "training": Case(
        points=[
            *("claim.written", "claim.committed", "attempt.prepared", "attempt.started"),
            *("upload.checkpoint_stored", "upload.checkpoint_stored:6", "upload.sample_stored"),
            *("upload.written", "upload.committed", "upload.committed:4", "upload.pruned"),
            *("publish.written", "finish.written", "finish.committed", "finish.published"),
        ],
        program=programs.work,
        given=a_queued_job,
    ),
    "storage": Case(
        points=[
            *("file.written", "file.written:3", "file.renamed", "file.renamed:3"),
            *("storage.tree_file_put:1", "storage.tree_file_put:2", "storage.tree_file_put:3"),
        ],
        program=programs.work,
        given=a_queued_job,
        databases=BOTH[:1],
    ),
    "damaged_checkpoint": Case(
        points=["damage.recorded"], program=programs.work, given=a_job_with_a_damaged_checkpoint
    ),
    "too_little_memory": Case(
        points=["memory.split", "finish.written", "finish.committed"],
        program=programs.work_with_little_memory,
        given=a_queued_job,
    ),
    "reaping": Case(
        points=["reap.written", "reap.committed"],
        program=programs.reconcile,
        given=a_job_of_a_dead_worker,
        changes={"lease_s": 0.3},
    ),
    "notification": Case(points=["notification.sent"], program=programs.reconcile, given=a_job_without_a_notification),
    "generation": Case(
        points=["generate.stored", "generate.written", "finish.committed"],
        program=programs.generate,
        given=a_generation_job,
        jobs=2,
    ),
}
DELETE = ["delete.written"]
SWEEP = ["sweep.removed"]
UPLOAD = ["upload.noted", "file.written", "upload.stored"]
REFUSE = [*UPLOAD, "upload.removed"]
REPLACE = [*UPLOAD, "dataset.replaced"]
DELETE_DATASET = ["dataset.deleted"]
IMPORT = ["import.noted", "import.stored", "import.written"]
MIGRATE = ["migrate.revision", "migrate.revision:2", "migrate.applied"]
TRAIN = [
    *("checkpoint.file_written:1", "checkpoint.file_written:2", "checkpoint.manifest_written", "checkpoint.synced"),
    *("checkpoint.renamed", "checkpoint.complete", "checkpoint.hidden", "checkpoint.complete:5"),
    *("file.written", "file.renamed"),
]
VISITED = {
    plan.partition(":")[0]
    for plan in [
        *(plan for case in CASES.values() for plan in case.points),
        *(*DELETE, *SWEEP, *REFUSE, *REPLACE, *DELETE_DATASET, *IMPORT, *MIGRATE, *TRAIN),
    ]
}

on_both = pytest.mark.parametrize("database_kind", BOTH, indirect=True)


def points_in_the_source() -> Iterator[str]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                    [name] = node.args
                    assert isinstance(name, ast.Constant), f"{path}: a point's name is a literal"
                    yield str(name.value)


def test_each_point_in_the_source_is_visited() -> None:
    found = list(points_in_the_source())
    assert sorted(found) == sorted(VISITED)


# --- one process dies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("database_kind", "case", "plan"),
    [
        pytest.param(kind, case, plan, id=f"{name}-{plan}-{kind}")
        for name, case in CASES.items()
        for plan in case.points
        for kind in case.databases
    ],
    indirect=["database_kind"],
)
def test_crash_loses_no_job_and_leaves_one_result_per_job(
    case: Case, plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    case.given(database, settings, storage)
    assert dies(plan, case.program, settings.model_copy(update=case.changes)) == DEAD
    assert len(jobs_now(database)) == case.jobs
    restart(settings, database)
    check(settings, database, storage)


@on_both
@pytest.mark.parametrize("plan", [*DELETE, *SWEEP])
def test_interrupted_delete_removes_rows_and_files_when_repeated(
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
def test_interrupted_upload_can_be_repeated_and_leaves_no_file(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})
    assert dies(plan, programs.upload, settings) == DEAD
    with reading(database) as session:
        assert list(session.scalars(select(UploadedDataset))) == []

    sweep_thoroughly(settings, database, storage)
    assert [*storage.list_names("datasets", unfinished=True)] == []

    patient = settings.model_copy(update={"orphan_grace_s": 600})
    assert dies(None, programs.upload, patient) == 0
    [name] = storage.list_names("datasets")
    assert storage.read_bytes(f"datasets/{name}") == programs.TEXT


@on_both
@pytest.mark.parametrize("plan", IMPORT)
@pytest.mark.parametrize("program", [programs.import_model, programs.import_ready_model])
def test_interrupted_import_of_a_model_can_be_repeated_and_leaves_no_file(
    plan: str, program: Callable[[Settings], None], database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})
    assert dies(plan, program, settings) == DEAD
    with reading(database) as session:
        for table in (Model, Checkpoint, Job, ReadyModel):
            assert list(session.scalars(select(table))) == []

    sweep_thoroughly(settings, database, storage)
    assert [*storage.list_names("jobs", unfinished=True)] == []

    patient = settings.model_copy(update={"orphan_grace_s": 600})
    assert dies(None, program, patient) == 0
    sweep_thoroughly(settings, database, storage)
    with reading(database) as session:
        [model] = session.scalars(select(Model))
        folder = model.checkpoint.storage_key
    assert [*storage.list_names(folder)] == ["manifest.json", "model.safetensors"]
    assert storage.read_bytes(f"{folder}/model.safetensors") == programs.MODEL


@on_both
@pytest.mark.parametrize("plan", REFUSE)
def test_interrupted_refusal_of_an_upload_leaves_no_file(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})
    assert dies(plan, programs.refused_upload, settings) == DEAD

    sweep_thoroughly(settings, database, storage)
    assert [*storage.list_names("datasets", unfinished=True)] == []

    patient = settings.model_copy(update={"orphan_grace_s": 600})
    assert dies(None, programs.refused_upload, patient) == 0
    assert [*storage.list_names("datasets", unfinished=True)] == []


@on_both
@pytest.mark.parametrize("plan", REPLACE)
def test_interrupted_replacement_keeps_the_old_text_and_can_be_repeated(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    assert dies(None, programs.upload, settings.model_copy(update={"orphan_grace_s": 600})) == 0
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})
    assert dies(plan, programs.replace_dataset, settings) == DEAD

    sweep_thoroughly(settings, database, storage)
    assert texts(database, storage) == [programs.TEXT]

    patient = settings.model_copy(update={"orphan_grace_s": 600})
    assert dies(None, programs.replace_dataset, patient) == 0
    sweep_thoroughly(settings, database, storage)
    assert texts(database, storage) == [programs.OTHER_TEXT]


@on_both
@pytest.mark.parametrize("plan", [*DELETE_DATASET, *SWEEP])
def test_interrupted_deletion_of_a_dataset_is_complete_when_repeated(
    plan: str, database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    assert dies(None, programs.upload, settings.model_copy(update={"orphan_grace_s": 600})) == 0
    settings = settings.model_copy(update={"orphan_grace_s": 0.5})

    if plan in DELETE_DATASET:
        assert dies(plan, programs.delete_dataset, settings) == DEAD
        sweep_thoroughly(settings, database, storage)
        assert texts(database, storage) == [programs.TEXT]
    assert dies(None, programs.delete_dataset, settings) == 0
    if plan in SWEEP:
        assert dies(plan, programs.sweep, settings) == DEAD

    sweep_thoroughly(settings, database, storage)
    assert texts(database, storage) == []


@pytest.mark.parametrize("plan", MIGRATE)
def test_migration_is_atomic(plan: str, empty_database_url: str, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(empty_database_url))
    assert dies(plan, programs.migrate, settings) == DEAD
    assert runner.current(settings)[0] is None

    assert dies(None, programs.migrate, settings) == 0
    now, newest = runner.current(settings)
    assert now == newest


# --- the trainer ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the weights of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert dies(None, programs.train, folder) == 0
    return weights(folder)


@pytest.mark.parametrize("plan", TRAIN)
def test_killed_trainer_ends_with_the_same_weights_after_a_restart(plan: str, undisturbed: str, tmp_path: Path) -> None:
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


def sweep_thoroughly(settings: Settings, database: SessionFactory, storage: Storage) -> None:
    """Sweep until nothing is due any more; needs a grace time of half a second."""
    time.sleep(0.6)
    for _ in range(2):  # the sweeper checks removed keys once more
        Sweeper(settings, database, storage).round()
        time.sleep(0.6)


def texts(database: SessionFactory, storage: Storage) -> list[bytes]:
    """The uploaded texts, which are the only files in the folder of uploads."""
    with reading(database) as session:
        keys = list(session.scalars(select(UploadedDataset.storage_key)))
    assert [f"datasets/{name}" for name in storage.list_names("datasets", unfinished=True)] == keys
    return [storage.read_bytes(key) for key in keys]


def jobs_now(database: SessionFactory) -> list[JobStatus]:
    with reading(database) as session:
        return list(session.scalars(select(Job.status)))


def requeue(database: SessionFactory) -> None:
    """Requeue the dead worker's job, as the reconciler does."""
    with reading(database) as session:
        [job_id] = session.scalars(select(Job.id))
    jobs.set_values(database, job_id, status=JobStatus.QUEUED, worker=None, heartbeat_at=None)
