"""Workers and their current jobs."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from sqlalchemy import select

from api import serializers
from api.openapi import answers
from api.responses import page_response
from api.runtime import runtime
from api.schemas.pages import WorkerPage
from api.tags import OPERATIONS
from shared.db.clock import db_now
from shared.services import workers

routes = APIBlueprint("workers", __name__, url_prefix="/v1/workers", abp_tags=[OPERATIONS])


@routes.get("", responses=answers({200: WorkerPage}))
def list_workers() -> Response:
    """List the live workers, then up to twenty others with a heartbeat within the last day."""
    current = runtime()
    with current.reading() as session:
        now = session.execute(select(db_now())).scalar_one()
        rows = workers.list_known(session, current.settings)
        interrupted = workers.interrupted_jobs(session)
    lease_s = current.settings.lease_s
    data = [
        serializers.worker(row, now=now, lease_s=lease_s, interrupted_jobs=interrupted.get(row.id, ())) for row in rows
    ]
    return page_response(WorkerPage(data=data, has_more=False), next_after=None)
