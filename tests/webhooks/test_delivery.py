"""Deliveries to a real receiver."""

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update
from standardwebhooks.webhooks import Webhook

from shared.db.session import SessionFactory, reading, transaction
from shared.db.tables import WebhookDelivery
from shared.services import webhook_deliveries
from shared.settings import Settings
from tests import jobs
from tests.waiting import wait_until
from tests.webhooks.conftest import SECRET
from tests.webhooks.receiver import Receiver
from worker.webhooks import WebhookDispatcher


def cancelled(database: SessionFactory, settings: Settings, url: str) -> str:
    """A job whose end is to be delivered."""
    job_id = jobs.submitted(database, settings, webhook={"url": url})
    jobs.cancel(database, job_id)
    return job_id


def delivery(database: SessionFactory, job_id: str) -> WebhookDelivery:
    with reading(database) as session:
        [found], _ = webhook_deliveries.list_page(session, job_id, limit=20, after=None)
        return found


def run_until(dispatcher: WebhookDispatcher, database: SessionFactory, job_id: str, status: str) -> WebhookDelivery:
    """Run rounds until the delivery of a job has a status."""

    def is_reached() -> bool:
        dispatcher.round()
        return delivery(database, job_id).status == status

    wait_until(is_reached)
    return delivery(database, job_id)


def test_delivery_is_signed_and_recorded(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    job_id = cancelled(database, settings, hook.url())

    found = run_until(dispatcher, database, job_id, "delivered")

    [(path, headers, body)] = hook.requests
    assert path == "/hook/token-in-path?key=secret-in-query"
    assert headers["host"] == f"127.0.0.1:{hook.port}"
    message = Webhook(SECRET).verify(body.decode(), headers)
    assert (message["type"], message["data"]["id"]) == ("training_job.cancelled", job_id)
    assert headers["webhook-id"] == found.id
    assert (found.attempts, found.response_status, found.error, found.next_attempt_at) == (1, 204, None, None)


def test_receiver_that_fails_gets_the_same_message_again(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    hook.statuses = [500, 503, 429, 404]
    job_id = cancelled(database, settings, hook.url())

    found = run_until(dispatcher, database, job_id, "delivered")

    assert found.attempts == 5
    assert len(set(hook.ids)) == 1
    assert len({body for _, _, body in hook.requests}) == 1


def test_redirects_are_not_followed(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    hook.statuses, hook.headers = [302], [("Location", f"http://127.0.0.1:{hook.port}/elsewhere")]
    job_id = cancelled(database, settings, hook.url())
    dispatcher.round()
    wait_until(lambda: delivery(database, job_id).response_status == 302)

    assert "redirects are not followed" in (delivery(database, job_id).error or "")
    assert {path for path, _, _ in hook.requests} == {"/hook/token-in-path?key=secret-in-query"}


def test_slow_receiver_does_not_delay_others_and_is_cut_off(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    hook.delay_s = 5.0
    slow = [cancelled(database, settings, hook.url()) for _ in range(6)]
    dispatcher.round()
    wait_until(lambda: len(hook.requests) == 4)  # the most at a time to one host
    assert dispatcher.round() == 0
    jobs_of_others = cancelled(database, settings, "http://127.0.0.2:9/")
    assert dispatcher.round() == 1

    wait_until(lambda: "did not answer within 1 s" in (delivery(database, slow[0]).error or ""))
    wait_until(lambda: "gave no answer" in (delivery(database, jobs_of_others).error or ""))


def test_endless_answer_is_cut_off(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    hook.body = b"x" * (8 << 20)
    job_id = cancelled(database, settings, hook.url())
    assert run_until(dispatcher, database, job_id, "delivered").attempts == 1


def test_target_that_became_private_is_not_reached(
    database: SessionFactory, settings: Settings, hook: Receiver
) -> None:
    job_id = cancelled(database, settings, hook.url("localhost"))
    strict = WebhookDispatcher(settings.model_copy(update={"webhook_allowed_hosts": ()}), database)
    strict.round()
    wait_until(lambda: "not public" in (delivery(database, job_id).error or "") and not strict._sending.total())
    assert hook.requests == []


def test_gone_receiver_gets_no_further_attempt_and_a_redelivery_begins_anew(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    hook.statuses = [410]
    job_id = cancelled(database, settings, hook.url())
    failed = run_until(dispatcher, database, job_id, "failed")

    with transaction(database) as session:
        assert webhook_deliveries.redeliver(session, job_id, failed.id).status == "pending"
    delivered = run_until(dispatcher, database, job_id, "delivered")

    assert (failed.attempts, delivered.attempts) == (1, 2)
    assert hook.ids == [failed.id] * 2


def test_retries_end_after_a_day(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    hook.statuses = [500] * 100
    job_id = cancelled(database, settings, hook.url())
    with transaction(database) as session:
        session.execute(update(WebhookDelivery).values(retry_until=datetime.now(UTC) - timedelta(seconds=1)))
    assert run_until(dispatcher, database, job_id, "failed").attempts == 1


def test_waits_cover_about_a_day(settings: Settings) -> None:
    usual = settings.model_copy(update={"webhook_backoff_s": 5.0})
    waits = [webhook_deliveries.backoff_ms(attempt, usual) / 1000 for attempt in range(1, 14)]
    assert 2.5 <= waits[0] <= 5
    assert max(waits) <= 4 * 3600
    assert 12 * 3600 < sum(waits) < 40 * 3600


def test_lost_sender_is_replaced_and_its_late_result_ignored(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver
) -> None:
    job_id = cancelled(database, settings, hook.url())
    with transaction(database) as session:
        [lost] = webhook_deliveries.claim(session, 1, {}, 1)
    assert dispatcher.round() == 0
    with transaction(database) as session:
        session.execute(update(WebhookDelivery).values(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1)))

    delivered = run_until(dispatcher, database, job_id, "delivered")
    with transaction(database) as session:
        webhook_deliveries.settle(session, lost, webhook_deliveries.Outcome(error="late"), settings)

    assert delivered.attempts == 2
    assert delivery(database, job_id).status == "delivered"


def test_two_dispatchers_send_each_delivery_once(database: SessionFactory, settings: Settings, hook: Receiver) -> None:
    ids = {delivery(database, cancelled(database, settings, hook.url())).id for _ in range(12)}
    stopping = threading.Event()
    threads = [
        threading.Thread(target=WebhookDispatcher(settings, database).run, args=(stopping,), daemon=True)
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(hook.requests) >= len(ids))
    time.sleep(0.2)
    stopping.set()
    for thread in threads:
        thread.join(10)
    assert sorted(hook.ids) == sorted(ids)


def test_old_deliveries_are_removed(database: SessionFactory, settings: Settings) -> None:
    old, pending = (cancelled(database, settings, "http://127.0.0.1:9/") for _ in range(2))
    with transaction(database) as session:
        session.execute(update(WebhookDelivery).values(created_at=datetime.now(UTC) - timedelta(days=31)))
        session.execute(update(WebhookDelivery).where(WebhookDelivery.job_id == old).values(status="failed"))
        webhook_deliveries.expire(session)
    with reading(database) as session:
        assert webhook_deliveries.list_page(session, old, limit=20, after=None)[0] == []
    assert delivery(database, pending).status == "pending"


def test_no_log_line_has_the_url_or_the_secret(
    database: SessionFactory, settings: Settings, dispatcher: WebhookDispatcher, hook: Receiver,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    hook.statuses = [500]
    run_until(dispatcher, database, cancelled(database, settings, hook.url()), "delivered")
    time.sleep(0.05)
    written = "".join(capsys.readouterr())
    assert "webhook delivered" in written
    assert not any(secret in written for secret in ("token-in-path", "secret-in-query", SECRET))
