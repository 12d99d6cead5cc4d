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
from shared.services import retention

routes = APIBlueprint("storage", __name__, url_prefix="/v1/storage", abp_tags=[OPERATIONS])
AT_ONCE = 500


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
    """Delete ended jobs with their files. Jobs with a model stay unless `models` is true; uploaded datasets stay."""
    current = runtime()
    with current.reading() as session:
        found = retention.ended_before(session, query.older_than_days, with_models=query.models, limit=AT_ONCE + 1)
    chosen = found[:AT_ONCE]
    if not query.dry_run:
        with current.writing() as session:
            deleted = set(retention.delete_ended(session, [job.id for job in chosen]))
        chosen = [job for job in chosen if job.id in deleted]
    jobs = [PrunedJob(id=job.id, status=job.status, finished_at=job.finished_at, size=job.size) for job in chosen]
    has_more = len(found) > AT_ONCE and bool(chosen)
    return json_response(
        Pruned(dry_run=query.dry_run, jobs=jobs, size=sum(job.size for job in chosen), has_more=has_more)
    )
