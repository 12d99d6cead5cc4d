"""Imports the ready-made models once in the life of a database. A deleted one does not come back."""

import threading
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared import disk_space
from shared.db.session import SessionFactory, is_transient, reading, transaction
from shared.errors import Conflict, MimeoError
from shared.services import imported_models
from shared.settings import Settings
from shared.storage import Storage

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent
SUFFIX = ".safetensors"
_RETRY_S = 5.0


class ReadyModels:
    """Imports what is missing. Several processes may do so at once: one of them writes each model."""

    def __init__(
        self, settings: Settings, sessions: SessionFactory, storage: Storage, *, folder: Path = FOLDER
    ) -> None:
        self._settings, self._sessions, self._storage, self._folder = settings, sessions, storage, folder

    def run(self, stopping: threading.Event) -> None:
        """Import all of them, and try again while the database, the storage or the disk does not permit it."""
        if not self._settings.ready_models:
            return
        is_logged = False
        while not stopping.is_set():
            try:
                self.import_missing()
            except (SQLAlchemyError, OSError, MimeoError) as error:
                if isinstance(error, SQLAlchemyError) and not is_transient(error):
                    raise
                if not is_logged:
                    log.warning("ready-made models not imported; trying again", reason=str(error))
                is_logged = True
                stopping.wait(_RETRY_S)
            else:
                return

    def import_missing(self) -> list[str]:
        """Import the models that this database never had. Returns their names. Raises as `imported_models.store`."""
        imported = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with reading(self._sessions) as session:
                if imported_models.is_recorded(session, path.stem):
                    continue
            if problem := disk_space.shortage(self._settings, path.stat().st_size):
                raise OSError(problem)
            if self._import(path):
                imported.append(path.stem)
        if imported:
            log.info("ready-made models imported", models=imported)
        return imported

    def _import(self, path: Path) -> bool:
        with path.open("rb") as file:
            new = imported_models.check_file(file, source="ready-made")
            try:
                imported_models.store(
                    lambda: transaction(self._sessions), self._storage, self._settings, new, ready_name=path.stem
                )
            except Conflict:  # another process was faster
                return False
        return True
