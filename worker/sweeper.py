"""Removes files of deleted jobs, files that never got a row, jobs past their retention, old deliveries and keys.

Several sweepers may run at once: removal is idempotent, and a pending deletion is removed after its files. While a
backup holds the files, none is removed.
"""

import threading
import time
from collections.abc import Callable, Sequence
from itertools import islice

import structlog
from sqlalchemy.exc import SQLAlchemyError

from shared.datasets.places import prepared_upload, prepared_uploads
from shared.db.session import SessionFactory, is_transient, reading, transaction
from shared.errors import NotFound
from shared.failpoints import failpoint
from shared.ids import is_id
from shared.services import (
    datasets,
    idempotency,
    login_sessions,
    pending_deletions,
    retention,
    storage_holds,
    webhook_deliveries,
)
from shared.settings import Settings
from shared.storage import Storage

log = structlog.get_logger(__name__)

_DELETIONS_AT_ONCE = 100
_JOBS_AT_ONCE = 100
_RECONCILER_ROUNDS = 5  # between two rounds of the sweeper, which is less urgent
_ORPHANS_EVERY_S = 900.0


class Sweeper:
    """One round at a time; `run` repeats them."""

    def __init__(
        self,
        settings: Settings,
        sessions: SessionFactory,
        storage: Storage,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._sessions, self._storage = settings, sessions, storage
        self._monotonic = monotonic
        self._orphans_due_at = self._monotonic()

    def run(self, stopping: threading.Event) -> None:
        """Repeat rounds until `stopping` is set. A round that failed is repeated at its next time."""
        failure: str | None = None
        while not stopping.wait(_RECONCILER_ROUNDS * self._settings.reconcile_s):
            try:
                self.round()
            except (SQLAlchemyError, OSError) as error:
                if isinstance(error, SQLAlchemyError) and not is_transient(error):
                    log.exception("sweep failed")
                elif failure is None:
                    log.warning("database or storage unavailable; sweeping later", reason=str(error))
                failure = str(error)
            else:
                failure = None

    def round(self) -> None:
        """Remove the folders whose deletion is due; at most every 15 minutes also orphans and old keys."""
        self._remove_due()
        if self._monotonic() < self._orphans_due_at:
            return
        self._orphans_due_at = self._monotonic() + min(_ORPHANS_EVERY_S, self._settings.orphan_grace_s / 4)
        self._remove_orphans()
        self._remove_prepared()
        self._remove_expired_jobs()
        with transaction(self._sessions) as session:
            idempotency.expire(session)
            login_sessions.expire(session)
            webhook_deliveries.expire(session)

    # --- pending deletions ------------------------------------------------------------------------------------------

    def _remove_due(self) -> None:
        with reading(self._sessions) as session:
            due = pending_deletions.due(session, _DELETIONS_AT_ONCE)
            is_held = storage_holds.is_held(session)
        if is_held or not due:
            return
        for folder in due:
            self._storage.delete_tree(folder)
        left = [folder for folder in due if self._has_files(folder)]
        gone = sorted({*due} - {*left})
        failpoint("sweep.removed")
        with transaction(self._sessions) as session:
            pending_deletions.removed(session, gone, self._settings)
            pending_deletions.postpone(session, left)
        log.info("storage swept", folders=len(gone))
        if left:
            log.warning("files of deleted jobs cannot be removed; trying again", folders=left)

    def _has_files(self, folder: str) -> bool:
        return next(self._storage.list_names(folder, unfinished=True), None) is not None

    # --- retention --------------------------------------------------------------------------------------------------

    def _remove_expired_jobs(self) -> None:
        """Delete jobs that ended more than `keep_jobs_days` ago; the next rounds remove their files."""
        if (days := self._settings.keep_jobs_days) is None:
            return
        while True:
            with reading(self._sessions) as session:
                expired = retention.ended_before(session, days, with_models=False, limit=_JOBS_AT_ONCE)
            with transaction(self._sessions) as session:
                deleted = retention.delete_ended(session, [job.id for job in expired])
            if deleted:
                log.info("expired jobs removed", count=len(deleted))
            if len(expired) < _JOBS_AT_ONCE or not deleted:
                return

    # --- orphans ----------------------------------------------------------------------------------------------------

    def _remove_orphans(self) -> None:
        folders = (name for name in self._storage.list_folders("jobs") if is_id(name, "trn", "gen"))
        while batch := list(islice(folders, _JOBS_AT_ONCE)):
            orphans = self._orphans(batch)
            for key in orphans:
                self._storage.delete_file(key)
            if orphans:
                log.info("files without a row removed", count=len(orphans))

    def _remove_prepared(self) -> None:
        """Remove the prepared files of uploaded images that were deleted or replaced. A later use makes them anew."""
        if not (files := prepared_uploads(self._settings.downloads_path)):
            return
        with reading(self._sessions) as session:
            rows = datasets.list_uploads(session)
        kept = {prepared_upload(row.name, row.sha256, self._settings.downloads_path) for row in rows}
        for path in files:
            if path not in kept:
                path.unlink(missing_ok=True)

    def _orphans(self, job_ids: Sequence[str]) -> list[str]:
        """Storage keys of old files of these jobs that no row refers to.

        Files are listed before rows are read. A listed file without a row can get one only from a worker that holds
        the job at that moment, since keys contain the fencing token. Files of held jobs are left out.
        """
        files = {job_id: list(self._storage.list_names(f"jobs/{job_id}", unfinished=True)) for job_id in job_ids}
        with reading(self._sessions) as session:
            known = pending_deletions.referenced_keys(session, job_ids)
            if storage_holds.is_held(session):
                return []
        keys = [
            (job, f"jobs/{job_id}/{name}") for job_id, job in known.items() if not job.is_held for name in files[job_id]
        ]
        return [key for job, key in keys if not job.include(key) and self._is_old(key)]

    def _is_old(self, key: str) -> bool:
        try:
            return self._storage.age_s(key) > self._settings.orphan_grace_s
        except NotFound:  # removed in the meantime
            return False
