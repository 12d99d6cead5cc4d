"""While a backup holds the files, none is removed that its snapshot names; afterwards all of them are."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import StorageHold
from shared.errors import Conflict
from shared.services import checkpoints, pending_deletions, storage_holds
from shared.services.attempt_writes import StoredCheckpoint
from shared.services.job_queue import Lease
from shared.settings import Settings
from shared.storage import Storage
from tests import jobs
from worker.attempts.report_buffer import ReportBuffer
from worker.sweeper import Sweeper


@contextmanager
def held(database: SessionFactory) -> Iterator[str]:
    with transaction(database) as session:
        hold_id = storage_holds.take(session)
    yield hold_id
    with transaction(database) as session:
        storage_holds.end(session, hold_id)


def stored(storage: Storage, lease: Lease, step: int) -> StoredCheckpoint:
    key = f"jobs/{lease.job_id}/checkpoints/{step:08d}-{lease.fencing_token}"
    storage.put_bytes(b"weights", f"{key}/model.safetensors")
    return StoredCheckpoint(epoch=step, step=step, storage_key=key, sha256="0" * 64, size=7, is_best=False, metrics={})


def test_deleted_files_stay_until_the_end_of_the_hold(
    settings: Settings, database: SessionFactory, storage: Storage
) -> None:
    sweeper = Sweeper(settings, database, storage)
    storage.put_bytes(b"x", "jobs/trn_1/sample")
    with transaction(database) as session:
        pending_deletions.add(session, "jobs/trn_1")

    with held(database):
        sweeper.round()
        assert storage.exists("jobs/trn_1/sample")

    sweeper.round()
    assert not storage.exists("jobs/trn_1/sample")


def test_files_without_a_row_stay_until_the_end_of_the_hold(
    settings: Settings, database: SessionFactory, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = jobs.submitted(database, settings)
    storage.put_bytes(b"x", f"jobs/{job_id}/samples/old.png")
    monkeypatch.setattr(storage, "age_s", lambda _key: 2 * settings.orphan_grace_s)

    with held(database):
        Sweeper(settings, database, storage).round()
        assert storage.exists(f"jobs/{job_id}/samples/old.png")

    Sweeper(settings, database, storage).round()
    assert not storage.exists(f"jobs/{job_id}/samples/old.png")


def test_pruned_checkpoints_of_a_running_job_become_pending_deletions(
    settings: Settings, database: SessionFactory, storage: Storage
) -> None:
    lease = jobs.running(database, settings)
    buffer = ReportBuffer(lease, {})

    def report(*steps: int) -> list[str]:
        for step in steps:
            buffer.checkpoint(stored(storage, lease, step))
        with transaction(database) as session:
            buffer.write(session)
        return buffer.written()

    report(1, 2)
    with held(database):
        assert report(3) == []
        with reading(database) as session:
            due = pending_deletions.due(session, 10)
            assert [row.step for row in checkpoints.list_for_job(session, lease.job_id)] == [3, 2]
        assert [key.rpartition("/")[2] for key in due] == [f"00000001-{lease.fencing_token}"]
        assert storage.exists(f"{due[0]}/model.safetensors")

    assert [key.rpartition("/")[2] for key in report(4)] == [f"00000002-{lease.fencing_token}"]
    Sweeper(settings, database, storage).round()
    assert not storage.exists(f"{due[0]}/model.safetensors")


def test_hold_waits_for_a_transaction_that_found_none(
    settings: Settings, database: SessionFactory, database_kind: str, tmp_path: Path
) -> None:
    lease = jobs.running(database, settings)
    fenced = threading.Event()

    def take() -> None:
        with transaction(database) as session:
            storage_holds.take(session)
        with transaction(database) as session:
            storage_holds.fence(session)
        fenced.set()

    backup = threading.Thread(target=take)
    with transaction(database) as session:
        session.execute(text("SELECT id FROM checkpoints" + (" FOR UPDATE" if database_kind == "postgresql" else "")))
        assert not storage_holds.is_held(session)
        backup.start()
        assert not fenced.wait(0.3)
        session.execute(text("DELETE FROM checkpoints WHERE job_id = :id"), {"id": lease.job_id})
    backup.join()
    with reading(database) as session:
        assert storage_holds.is_held(session)


def test_hold_that_was_not_renewed_ends_and_cannot_be_renewed(database: SessionFactory) -> None:
    with held(database) as hold_id:
        with transaction(database) as session:
            storage_holds.renew(session, hold_id)
        with transaction(database) as session:
            session.execute(text("UPDATE storage_holds SET until = 1"))
        with reading(database) as session:
            assert not storage_holds.is_held(session)
        with transaction(database) as session, pytest.raises(Conflict, match="no longer held"):
            storage_holds.renew(session, hold_id)
        with transaction(database) as session:
            storage_holds.end(session, storage_holds.take(session))  # removes the old one
    with reading(database) as session:
        assert session.query(StorageHold).all() == []
