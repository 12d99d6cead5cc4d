"""Deliveries of webhooks: which are due, how an attempt ended, and what users see."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.orm import Session

from shared.db.clock import db_now
from shared.db.tables import Job, WebhookDelivery
from shared.errors import NotFound
from shared.services import paging
from shared.services.webhook_outbox import RETRY_MS
from shared.settings import Settings

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
_MOST_WAIT_S = 4 * 3600.0
_KEEP_MS = 30 * 24 * 3600 * 1000
_SENT_WITHIN_MS = 120_000  # an attempt that has not ended after this time was lost
_MAX_ERROR = 500
_IS_DUE = (WebhookDelivery.status == PENDING, WebhookDelivery.next_attempt_at <= db_now())


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A delivery that this process sends now. attempt: from 1."""

    id: str
    job_id: str
    url: str
    host: str
    payload: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended. error: None when the receiver has accepted it. is_final: no other attempt is made."""

    error: str | None
    response_status: int | None = None
    is_final: bool = False


def is_any_due(connection: Connection) -> bool:
    """Whether a delivery is due. Reads only."""
    return bool(connection.execute(select(select(WebhookDelivery.id).where(*_IS_DUE).exists())).scalar_one())


def claim(session: Session, limit: int, sending: Mapping[str, int], most_per_host: int) -> list[Claimed]:
    """Take the deliveries that are longest due, up to `limit`. sending: deliveries in progress by host."""
    full = [host for host, count in sending.items() if count >= most_per_host]
    due = select(WebhookDelivery).where(*_IS_DUE, WebhookDelivery.host.not_in(full))
    due = due.order_by(WebhookDelivery.next_attempt_at).limit(4 * limit).with_for_update(skip_locked=True)
    hosts, chosen = Counter(sending), list[WebhookDelivery]()
    for row in session.scalars(due):
        if len(chosen) < limit and hosts[row.host] < most_per_host:
            hosts[row.host] += 1
            chosen.append(row)
    if not chosen:
        return []
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_([row.id for row in chosen]))
        .values(
            attempts=WebhookDelivery.attempts + 1,
            last_attempt_at=db_now(),
            next_attempt_at=db_now() + _SENT_WITHIN_MS,
        )
        .execution_options(synchronize_session=False)
    )
    of_jobs = select(Job.id, Job.webhook).where(Job.id.in_({row.job_id for row in chosen}))
    urls = {job_id: webhook["url"] for job_id, webhook in session.execute(of_jobs) if webhook}
    return [
        Claimed(
            id=row.id,
            job_id=row.job_id,
            url=urls[row.job_id],
            host=row.host,
            payload=row.payload,
            attempt=row.attempts + 1,
        )
        for row in chosen
    ]


def settle(session: Session, claimed: Claimed, outcome: Outcome, settings: Settings) -> None:
    """Record the end of an attempt, unless another process has made one since."""
    values = {"response_status": outcome.response_status, "error": (outcome.error or "")[:_MAX_ERROR] or None}
    ours = (
        WebhookDelivery.id == claimed.id,
        WebhookDelivery.attempts == claimed.attempt,
        WebhookDelivery.status == PENDING,
    )
    wait_ms = backoff_ms(claimed.attempt, settings)
    is_last = WebhookDelivery.retry_until < db_now() + wait_ms
    statement = update(WebhookDelivery).where(*ours).execution_options(synchronize_session=False)
    if outcome.error is None or outcome.is_final:
        status = DELIVERED if outcome.error is None else FAILED
        session.execute(statement.values(status=status, next_attempt_at=None, **values))
        return
    session.execute(statement.where(~is_last).values(next_attempt_at=db_now() + wait_ms, **values))
    session.execute(statement.where(is_last).values(status=FAILED, next_attempt_at=None, **values))


def backoff_ms(attempt: int, settings: Settings) -> int:
    """Wait before the next attempt: tripled each time, at most four hours, and random in its upper half."""
    longest = min(_MOST_WAIT_S, settings.webhook_backoff_s * 3.0 ** min(attempt - 1, 20))
    return round(1000 * longest * random.uniform(0.5, 1.0))


def list_page(session: Session, job_id: str, *, limit: int, after: str | None) -> tuple[list[WebhookDelivery], bool]:
    """Deliveries of a job, newest first, and whether there are more. Raises SpecError for a bad page."""
    return paging.newest_first(
        session,
        select(WebhookDelivery),
        WebhookDelivery.id,
        prefix="whd",
        limit=limit,
        after=after,
        filters={WebhookDelivery.job_id: job_id},
    )


def redeliver(session: Session, job_id: str, delivery_id: str) -> WebhookDelivery:
    """Send a delivery again, with the same id and body, and with a day of retries. Raises NotFound."""
    query = select(WebhookDelivery).where(WebhookDelivery.id == delivery_id, WebhookDelivery.job_id == job_id)
    if session.scalars(query.with_for_update()).one_or_none() is None:
        raise NotFound("There is no delivery with that id.")
    session.execute(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id)
        .values(status=PENDING, next_attempt_at=db_now(), retry_until=db_now() + RETRY_MS)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(query.execution_options(populate_existing=True)).one()


def count_by_status(session: Session) -> dict[str, int]:
    """Number of deliveries by status."""
    query = select(WebhookDelivery.status, func.count()).group_by(WebhookDelivery.status)
    return dict.fromkeys((PENDING, DELIVERED, FAILED), 0) | dict(session.execute(query).all())


def expire(session: Session) -> None:
    """Delete deliveries that have ended and are older than 30 days."""
    session.execute(
        delete(WebhookDelivery).where(
            WebhookDelivery.status != PENDING, WebhookDelivery.created_at < db_now() - _KEEP_MS
        )
    )
