"""Ready-made models are imported once in the life of a database."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import Checkpoint, Model, PendingDeletion
from shared.services import imported_models, models
from shared.settings import Settings
from shared.storage import Storage, StorageUnavailable
from tests.model_files import model_file
from worker.ready_models import ReadyModels, importing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two ready-made models."""
    made = tmp_path / "ready"
    made.mkdir()
    for name in ("vae", "gan"):
        (made / f"{name}.safetensors").write_bytes(model_file(name, about={"dataset": "digits"}))
    return made


@pytest.fixture
def ready(settings: Settings, database: SessionFactory, storage: Storage, folder: Path) -> ReadyModels:
    return ReadyModels(settings, database, storage, folder=folder)


def imported(database: SessionFactory) -> list[str]:
    with reading(database) as session:
        rows, _ = models.list_page(session)
        assert {imported_models.origin(row.imported)["source"] for row in rows} <= {"ready-made"}
        return sorted(row.model_type for row in rows)


def test_models_are_imported_once_and_a_deleted_one_does_not_come_back(
    ready: ReadyModels, database: SessionFactory, folder: Path
) -> None:
    assert ready.import_missing() == ["gan", "vae"]
    with transaction(database) as session:
        [vae] = session.scalars(select(Model).where(Model.model_type == "vae"))
        imported_models.delete(session, vae.id)

    assert ready.import_missing() == []
    assert imported(database) == ["gan"]

    (folder / "lstm.safetensors").write_bytes(model_file("lstm"))  # of a later version
    assert ready.import_missing() == ["lstm"]


def test_setting_leaves_them_out(settings: Settings, database: SessionFactory, storage: Storage, folder: Path) -> None:
    without = settings.model_copy(update={"ready_models": False})
    ReadyModels(without, database, storage, folder=folder).run(threading.Event())
    assert imported(database) == []


def test_processes_that_start_together_import_each_model_once(
    settings: Settings, database: SessionFactory, storage: Storage, folder: Path
) -> None:
    together = threading.Barrier(4)

    def start(_: int) -> list[str]:
        together.wait()
        return ReadyModels(settings, database, storage, folder=folder).import_missing()

    with ThreadPoolExecutor(4) as threads:
        found = [name for names in threads.map(start, range(4)) for name in names]
    assert sorted(found) == ["gan", "vae"]
    assert imported(database) == ["gan", "vae"]
    with reading(database) as session:
        kept = {key.split("/")[1] for key in session.scalars(select(Checkpoint.storage_key))}
        assert list(session.scalars(select(PendingDeletion))) == []
    assert {name.split("/")[0] for name in storage.list_names("jobs")} == kept


def test_outage_of_the_storage_delays_the_import(
    ready: ReadyModels, database: SessionFactory, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_RETRY_S", 0.01)
    put: Callable[..., None] = storage.put_pieces
    failures = iter([StorageUnavailable("no answer")] * 2)

    def failing(*arguments: object) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        put(*arguments)

    monkeypatch.setattr(storage, "put_pieces", failing)
    ready.run(threading.Event())
    assert imported(database) == ["gan", "vae"]
