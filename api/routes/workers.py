"""Workers and their current jobs."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from sqlalchemy import select

from api import serializers
from api.authentication import identity
from api.openapi import answers
from api.responses import page_response
from api.runtime import runtime
from api.schemas.pages import WorkerPage
from api.tags import OPERATIONS
from shared.db.clock import db_now
from shared.services import queue_stats, workers

routes = APIBlueprint("workers", __name__, url_prefix="/v1/workers", abp_tags=[OPERATIONS])


@routes.get("", responses=answers({200: WorkerPage}))
def list_workers() -> Response:
    """List the live workers, then up to twenty others with a heartbeat within the last day.

    `job` is null also while a worker runs a job of another owner.
    """
    current = runtime()
    with current.reading() as session:
        now = session.execute(select(db_now())).scalar_one()
        rows = workers.list_known(session, current.settings)
        interrupted = workers.interrupted_jobs(session)
        owners = queue_stats.owners_of(session, [row.job_id for row in rows if row.job_id is not None])
    lease_s = current.settings.lease_s
    data = [
        serializers.worker(
            row,
            now=now,
            lease_s=lease_s,
            job_id=row.job_id if owners.get(row.job_id or "") in {None, identity().owner} else None,
            interrupted_jobs=interrupted.get(row.id, ()),
        )
        for row in rows
    ]
    return page_response(WorkerPage(data=data, has_more=False), next_after=None)
