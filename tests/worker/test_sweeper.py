"""The sweeper removes unneeded files, and no others."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, event, select

from shared.datasets.places import prepared_folder, prepared_upload
from shared.db.session import SessionFactory, make_engine, reading, session_factory, transaction
from shared.db.tables import IdempotencyKey, PendingDeletion, UploadedDataset
from shared.errors import Unavailable
from shared.job_status import JobStatus
from shared.services import attempt_writes, deletion, job_queue, pending_deletions, uploaded_datasets
from shared.services.attempt_writes import StoredCheckpoint, StoredFile
from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from tests.engine.fake_clock import FakeClock
from tests.uploads import checked
from tests.waiting import PATIENCE_S, wait_until
from worker.sweeper import Sweeper

TEXT = b"To be, or not to be: that is the question. " * 20


@pytest.fixture
def clock(engine: Engine) -> FakeClock:
    return FakeClock(engine)


@pytest.fixture
def sweeper(
    settings: Settings,
    database: SessionFactory,
    storage: Storage,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> Sweeper:
    """A sweeper on the test's clock, which also determines the age of files."""
    age_s = storage.age_s
    monkeypatch.setattr(storage, "age_s", lambda key: age_s(key) + clock.monotonic())
    return Sweeper(settings, database, storage, monotonic=clock.monotonic)


def advance_past_the_grace(clock: FakeClock, settings: Settings) -> None:
    clock.advance(round(1000 * settings.orphan_grace_s) + 1000)


def files(storage: Storage, prefix: str = "jobs") -> list[str]:
    return list(storage.list_names(prefix, unfinished=True))


def store_files(database: SessionFactory, storage: Storage, lease: Lease, step: int = 5) -> None:
    """Store a checkpoint and a sample, with their rows."""
    folder = f"jobs/{lease.job_id}/checkpoints/{step:08d}-{lease.fencing_token}"
    sample = f"jobs/{lease.job_id}/samples/{lease.fencing_token}/grid.png"
    for key in (f"{folder}/model.safetensors", f"{folder}/manifest.json", sample):
        storage.put_bytes(b"x", key)
    with transaction(database) as session:
        fenced = job_queue.renew_lease(session, lease)
        attempt_writes.add_checkpoint(
            fenced,
            StoredCheckpoint(epoch=1, step=step, storage_key=folder, sha256="0" * 64, size=1, is_best=True, metrics={}),
        )
        file = StoredFile(
            kind="sample", name="grid.png", media_type="image/png", storage_key=sample, sha256="0" * 64, size=1
        )
        attempt_writes.add_artifacts(fenced, [file])


def ended(database: SessionFactory, storage: Storage, settings: Settings) -> Lease:
    """A failed job with files."""
    lease = jobs.running(database, settings)
    store_files(database, storage, lease)
    jobs.set_values(database, lease.job_id, status=JobStatus.FAILED)
    return lease


def delete(database: SessionFactory, job_id: str) -> None:
    with transaction(database) as session:
        deletion.delete_job(session, job_id)


def pending_count(database: SessionFactory) -> int:
    with reading(database) as session:
        return len(session.scalars(select(PendingDeletion)).all())


# --- deleted jobs -----------------------------------------------------------------------------------------------


def test_files_of_a_deleted_job_are_removed_and_those_of_others_stay(
    database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    gone, kept = ended(database, storage, settings), ended(database, storage, settings)
    delete(database, gone.job_id)

    Sweeper(settings, database, storage).round()

    assert {name.split("/")[0] for name in files(storage)} == {kept.job_id}
    assert len(files(storage)) == 3


def test_files_that_a_worker_writes_after_the_delete_are_removed(
    database: SessionFactory, settings: Settings, storage: Storage, sweeper: Sweeper, clock: FakeClock
) -> None:
    lease = ended(database, storage, settings)
    delete(database, lease.job_id)
    sweeper.round()
    storage.put_bytes(b"late", f"jobs/{lease.job_id}/samples/1/late.png")

    advance_past_the_grace(clock, settings)
    sweeper.round()

    assert files(storage) == []
    assert pending_count(database) == 0


def test_failed_removal_is_retried(
    database: SessionFactory, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = ended(database, storage, settings)
    delete(database, lease.job_id)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete_tree", lambda _: None)  # as in a folder that is read-only for a while
        Sweeper(settings, database, storage).round()
    assert pending_count(database) == 1

    with transaction(database) as session:
        session.scalars(select(PendingDeletion)).one().due_at = datetime.now(UTC) - timedelta(seconds=1)
    Sweeper(settings, database, storage).round()

    assert files(storage) == []


def test_two_sweepers_can_run_at_once(database: SessionFactory, settings: Settings, storage: Storage) -> None:
    for _ in range(5):
        delete(database, ended(database, storage, settings).job_id)
    threads = [threading.Thread(target=Sweeper(settings, database, storage).round) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files(storage) == []


# --- orphans ----------------------------------------------------------------------------------------------------


def test_old_files_of_a_job_without_a_row_are_removed_and_others_stay(
    database: SessionFactory, settings: Settings, storage: Storage, sweeper: Sweeper, clock: FakeClock
) -> None:
    lease = ended(database, storage, settings)
    named = files(storage)
    for name in ("checkpoints/00000009-1/model.safetensors", "samples/0/grid.png", "samples/1/.tmp-abc"):
        storage.put_bytes(b"x", f"jobs/{lease.job_id}/{name}")

    sweeper.round()
    assert len(files(storage)) == len(named) + 3  # not old enough

    advance_past_the_grace(clock, settings)
    sweeper.round()
    assert files(storage) == named


def test_files_of_a_running_job_stay(
    database: SessionFactory, settings: Settings, storage: Storage, sweeper: Sweeper, clock: FakeClock
) -> None:
    lease = jobs.running(database, settings)
    storage.put_bytes(b"x", f"jobs/{lease.job_id}/samples/{lease.fencing_token}/its-row-follows.png")
    advance_past_the_grace(clock, settings)

    sweeper.round()

    assert len(files(storage)) == 1


def test_files_of_jobs_unknown_to_the_database_stay(
    database: SessionFactory, settings: Settings, storage: Storage, sweeper: Sweeper, clock: FakeClock
) -> None:
    # Given: a store that another stack uses too, or a database restored to an older state
    storage.put_bytes(b"x", f"jobs/trn_{'0' * 26}/checkpoints/00000001-1/model.safetensors")
    storage.put_bytes(b"x", "jobs/notes.txt")
    storage.put_bytes(b"x", "datasets/theirs/dst_1/text.txt")
    advance_past_the_grace(clock, settings)

    sweeper.round()

    assert len(files(storage)) == 2
    assert len(files(storage, "datasets")) == 1


# --- uploads ----------------------------------------------------------------------------------------------------


def test_upload_without_a_row_is_removed_after_the_grace(
    database: SessionFactory, settings: Settings, storage: Storage, sweeper: Sweeper, clock: FakeClock
) -> None:
    text = checked("mine", TEXT)
    with transaction(database) as session:
        pending_deletions.expect(session, text.folder, settings)
    uploaded_datasets.put(storage, text)
    sweeper.round()
    assert len(files(storage, "datasets")) == 1

    advance_past_the_grace(clock, settings)
    sweeper.round()

    assert files(storage, "datasets") == []
    assert pending_count(database) == 0
    with pytest.raises(Unavailable), transaction(database) as session:
        pending_deletions.keep(session, text.folder, settings)


def test_upload_with_a_row_stays(
    database: SessionFactory, settings: Settings, storage: Storage, sweeper: Sweeper, clock: FakeClock
) -> None:
    text = checked("mine", TEXT)
    with transaction(database) as session:
        pending_deletions.expect(session, text.folder, settings)
    uploaded_datasets.put(storage, text)
    with transaction(database) as session:
        pending_deletions.keep(session, text.folder, settings)
        uploaded_datasets.add(session, text, None)

    advance_past_the_grace(clock, settings)
    sweeper.round()

    assert storage.read_bytes(text.storage_key) == TEXT


def test_prepared_images_of_a_deleted_upload_are_removed(
    database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    folder = settings.downloads_path
    kept, gone, registry = (
        prepared_upload("kept", "a" * 64, folder),
        prepared_upload("gone", "b" * 64, folder),
        prepared_folder(folder) / "mnist-v1-0123456789ab.safetensors",
    )
    for path in (kept, gone, registry):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with transaction(database) as session:
        row = UploadedDataset(name="kept", kind="images", storage_key="k", sha256="a" * 64, size=1)
        session.add(row)

    Sweeper(settings, database, storage).round()

    assert [path.exists() for path in (kept, gone, registry)] == [True, False, True]


# --- keys and outages -------------------------------------------------------------------------------------------


def test_idempotency_keys_are_deleted_after_a_day(
    database: SessionFactory, settings: Settings, storage: Storage
) -> None:
    job_id = jobs.submitted(database, settings)
    with transaction(database) as session:
        for key, hours in (("old", 25), ("new", 23)):
            at = datetime.now(UTC) - timedelta(hours=hours)
            session.add(IdempotencyKey(key=key, body_sha256="0" * 64, job_id=job_id, created_at=at))

    Sweeper(settings, database, storage).round()

    with reading(database) as session:
        assert list(session.scalars(select(IdempotencyKey.key))) == ["new"]


def test_sweeper_continues_after_an_outage_of_the_database(
    database: SessionFactory, settings: Settings, storage: Storage, tmp_path: Path
) -> None:
    delete(database, ended(database, storage, settings).job_id)
    gone = make_engine(Settings(home=tmp_path, database_url=SecretStr("postgresql://127.0.0.1:1/nothing")))
    has_tried = threading.Event()
    event.listen(gone, "do_connect", lambda *_: has_tried.set())
    sweeper = Sweeper(settings, session_factory(gone), storage)
    stopping = threading.Event()
    thread = threading.Thread(target=sweeper.run, args=(stopping,))
    thread.start()

    assert has_tried.wait(PATIENCE_S)
    sweeper._sessions = database

    wait_until(lambda: not files(storage))
    stopping.set()
    thread.join()
    gone.dispose()
