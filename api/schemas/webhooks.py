"""Deliveries of webhooks in responses."""

from typing import Literal, Self, cast

from pydantic import Field

from api.schemas.base import Answer, PageOf, Time
from shared.db import tables as rows
from shared.specs import WebhookEvent

DeliveryStatus = Literal["pending", "delivered", "failed"]


class WebhookDelivery(Answer):
    """One event that is sent to the job's webhook."""

    id: str = Field(description="Also the header `webhook-id` of each attempt.")
    object: Literal["webhook_delivery"] = "webhook_delivery"
    job: str
    event: WebhookEvent
    status: DeliveryStatus = Field(description="`failed`: no receiver has accepted it within a day.")
    attempts: int
    response_status: int | None = Field(description="HTTP status of the last attempt; null without an answer.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: Time
    last_attempt_at: Time | None
    next_attempt_at: Time | None = Field(description="Null when no attempt follows.")

    @classmethod
    def of(cls, row: rows.WebhookDelivery) -> Self:
        """The answer for a row."""
        return cls(
            id=row.id,
            job=row.job_id,
            event=cast(WebhookEvent, row.event),
            status=cast(DeliveryStatus, row.status),
            attempts=row.attempts,
            response_status=row.response_status,
            error=row.error,
            created_at=row.created_at,
            last_attempt_at=row.last_attempt_at,
            next_attempt_at=row.next_attempt_at,
        )


class WebhookDeliveryPage(PageOf[WebhookDelivery]):
    """Deliveries of a job, newest first."""
