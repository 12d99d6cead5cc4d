"""Disk space: what uses it, and the removal of ended jobs."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api.openapi import answers
from api.parameters import PruneQuery
from api.responses import json_response
from api.runtime import runtime
from api.schemas.storage import DiskSpace, Pruned, PrunedJob
from api.tags import OPERATIONS
from shared import disk_space
from shared.services import file_retention, retention
from shared.services.file_retention import FileKind

routes = APIBlueprint("storage", __name__, url_prefix="/v1/storage", abp_tags=[OPERATIONS])
AT_ONCE = 500
FILES_AT_ONCE = 2000


@routes.get("", responses=answers({200: DiskSpace}))
def get_storage() -> Response:
    """Show the free space, and the space that each kind of file takes."""
    current = runtime()
    disk = disk_space.fullest(current.settings)
    with current.reading() as session:
        used = retention.space_used(session)
    return json_response(
        DiskSpace(
            free=disk.free if disk else None,
            total=disk.total if disk else None,
            min_free=current.settings.min_free_bytes,
            used=used,
        )
    )


@routes.post("/prune", responses=answers({200: Pruned}, 422))
def prune(query: PruneQuery) -> Response:
    """Delete ended jobs with their files, or checkpoints, samples or event files of ended jobs that stay.

    Jobs with a model stay unless `models` is true; uploaded datasets stay. Of files, published weights and checkpoints
    that an unfinished job will read stay.
    """
    return _prune_jobs(query) if query.kind == "jobs" else _prune_files(query, FileKind(query.kind))


def _prune_jobs(query: PruneQuery) -> Response:
    current = runtime()
    with current.reading() as session:
        found = retention.ended_before(
            session, query.older_than_days, with_models=query.models, statuses=query.status, limit=AT_ONCE + 1
        )
    chosen = found[:AT_ONCE]
    if not query.dry_run:
        with current.writing() as session:
            deleted = set(retention.delete_ended(session, [job.id for job in chosen]))
        chosen = [job for job in chosen if job.id in deleted]
    jobs = [
        PrunedJob(id=job.id, status=job.status, finished_at=job.finished_at, files=None, size=job.size)
        for job in chosen
    ]
    return _answer(query, jobs, has_more=len(found) > AT_ONCE and bool(chosen))


def _prune_files(query: PruneQuery, kind: FileKind) -> Response:
    current = runtime()
    with current.reading() as session:
        found = file_retention.removable(
            session,
            kind,
            days=query.older_than_days,
            statuses=query.status,
            keep_last=query.keep_last,
            limit=FILES_AT_ONCE,
        )
    is_full = sum(len(job.ids) for job in found) == FILES_AT_ONCE
    if not query.dry_run:
        with current.writing() as session:
            found = file_retention.remove(session, kind, found)
    jobs = [
        PrunedJob(id=job.id, status=job.status, finished_at=job.finished_at, files=len(job.ids), size=job.size)
        for job in found
    ]
    return _answer(query, jobs, has_more=is_full and bool(jobs))


def _answer(query: PruneQuery, jobs: list[PrunedJob], *, has_more: bool) -> Response:
    size = sum(job.size for job in jobs)
    return json_response(Pruned(dry_run=query.dry_run, jobs=jobs, size=size, has_more=has_more))
