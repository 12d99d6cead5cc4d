"""The state of the queue."""

from flask import Response
from flask_openapi.blueprint import APIBlueprint

from api.authentication import identity
from api.openapi import answers
from api.responses import json_response
from api.runtime import runtime
from api.schemas.resources import Queue
from api.streams.changes import read_queue
from api.tags import OPERATIONS

routes = APIBlueprint("queue", __name__, url_prefix="/v1/queue", abp_tags=[OPERATIONS])


@routes.get("", responses=answers({200: Queue}))
def show_queue() -> Response:
    """Show how many jobs wait and run, how many workers are live, and the order of the waiting training jobs."""
    current = runtime()
    with current.reading() as session:
        state = read_queue(session, current.settings)
    return json_response(Queue.model_validate(state.shown_to(identity().owner)))
