"""Deliveries of a job's webhook: list, send again."""

from typing import Annotated

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from pydantic import AfterValidator, Field

from api.openapi import answers
from api.parameters import AFTER, Absent, GenerationJobPath, PageQuery, TrainingJobPath, documented
from api.responses import json_response, page_response
from api.runtime import runtime
from api.schemas.webhooks import WebhookDelivery, WebhookDeliveryPage
from api.tags import GENERATION_JOBS, TRAINING_JOBS
from shared.db import tables as rows
from shared.errors import NotFound
from shared.ids import is_id
from shared.services import jobs, webhook_deliveries
from shared.services.jobs import JobT

routes = APIBlueprint("webhook_deliveries", __name__, url_prefix="/v1")

PATTERN = "^whd_[0-9a-hjkmnp-tv-z]{26}$"


def _known(delivery: str) -> str:
    if not is_id(delivery, "whd"):
        raise NotFound("There is no delivery with that id.")
    return delivery


DeliveryId = Annotated[str, AfterValidator(_known), documented(PATTERN)]


class TrainingDeliveryPath(TrainingJobPath):
    """Path of a delivery of a training job."""

    delivery: DeliveryId


class GenerationDeliveryPath(GenerationJobPath):
    """Path of a delivery of a generation job."""

    delivery: DeliveryId


class DeliveriesQuery(PageQuery):
    """Parameters of a list of deliveries."""

    after: Annotated[str, documented(PATTERN)] | Absent = Field(None, description=AFTER)


_LISTED = answers({200: WebhookDeliveryPage}, 404, 422, headers=("Link",))
_SENT = answers({202: WebhookDelivery}, 404)


@routes.get("/training-jobs/<id>/webhook-deliveries", tags=[TRAINING_JOBS], responses=_LISTED)
def list_training_webhook_deliveries(path: TrainingJobPath, query: DeliveriesQuery) -> Response:
    """List the deliveries of a training job's webhook, newest first. Those older than 30 days are removed."""
    return _page(rows.TrainingJob, path.id, query)


@routes.get("/generation-jobs/<id>/webhook-deliveries", tags=[GENERATION_JOBS], responses=_LISTED)
def list_generation_webhook_deliveries(path: GenerationJobPath, query: DeliveriesQuery) -> Response:
    """List the deliveries of a generation job's webhook, newest first. Those older than 30 days are removed."""
    return _page(rows.GenerationJob, path.id, query)


@routes.post("/training-jobs/<id>/webhook-deliveries/<delivery>/redeliver", tags=[TRAINING_JOBS], responses=_SENT)
def redeliver_training_webhook(path: TrainingDeliveryPath) -> Response:
    """Send a delivery again, with the same id and body, and with further retries for a day."""
    return _redeliver(rows.TrainingJob, path.id, path.delivery)


@routes.post("/generation-jobs/<id>/webhook-deliveries/<delivery>/redeliver", tags=[GENERATION_JOBS], responses=_SENT)
def redeliver_generation_webhook(path: GenerationDeliveryPath) -> Response:
    """Send a delivery again, with the same id and body, and with further retries for a day."""
    return _redeliver(rows.GenerationJob, path.id, path.delivery)


def _page(of: type[JobT], job_id: str, query: DeliveriesQuery) -> Response:
    with runtime().reading() as session:
        jobs.get(session, of, job_id)
        found, has_more = webhook_deliveries.list_page(session, job_id, limit=query.limit, after=query.after)
    page = WebhookDeliveryPage(data=[WebhookDelivery.of(row) for row in found], has_more=has_more)
    return page_response(page, next_after=found[-1].id if has_more else None)


def _redeliver(of: type[JobT], job_id: str, delivery_id: str) -> Response:
    with runtime().writing() as session:
        jobs.get(session, of, job_id)
        row = webhook_deliveries.redeliver(session, job_id, delivery_id)
        return json_response(WebhookDelivery.of(row), 202)
