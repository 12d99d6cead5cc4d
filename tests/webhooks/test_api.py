"""Webhooks over HTTP, and a reconciler that is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.serving import make_server

from api.app import create_app
from shared.broker import NullBroker
from shared.db.session import SessionFactory, transaction
from shared.db.tables import WebhookDelivery
from shared.settings import Settings
from tests.waiting import PATIENCE_S, wait_until
from tests.webhooks.conftest import SECRET
from tests.webhooks.receiver import Receiver
from worker.webhooks import WebhookDispatcher

pytestmark = pytest.mark.slow_on_postgresql


@pytest.fixture
def client(settings: Settings, database: SessionFactory) -> Iterator[FlaskClient]:
    app = create_app(settings, broker=NullBroker())
    yield app.test_client()
    app.extensions["mimeo"].close()


def submitted(client: FlaskClient, hook: Receiver, **webhook: Any) -> str:
    """A job that is cancelled, with a webhook."""
    body = {"model_type": "vae", "dataset": "digits", "webhook": {"url": hook.url(), **webhook}}
    job = client.post("/v1/training-jobs", json=body).get_json()
    client.post(f"/v1/training-jobs/{job['id']}/cancel")
    return str(job["id"])


def test_job_shows_its_webhook_and_its_deliveries(
    client: FlaskClient, hook: Receiver, dispatcher: WebhookDispatcher
) -> None:
    job_id = submitted(client, hook)
    path = f"/v1/training-jobs/{job_id}"
    assert client.get(path).get_json()["webhook"] == {
        "url": hook.url(),
        "events": ["succeeded", "failed", "cancelled"],
    }
    [pending] = client.get(f"{path}/webhook-deliveries").get_json()["data"]
    assert (pending["status"], pending["event"], pending["attempts"]) == ("pending", "cancelled", 0)
    assert 'mimeo_webhook_deliveries{status="pending"} 1.0' in client.get("/metrics").text

    dispatcher.round()
    wait_until(lambda: client.get(f"{path}/webhook-deliveries").get_json()["data"][0]["status"] == "delivered")
    again = client.post(f"{path}/webhook-deliveries/{pending['id']}/redeliver")

    assert (again.status_code, again.get_json()["status"]) == (202, "pending")
    dispatcher.round()
    wait_until(lambda: hook.ids == [pending["id"]] * 2)


@contextmanager
def served(client: FlaskClient) -> Iterator[str]:
    """The application on a free port of loopback."""
    server = make_server("127.0.0.1", 0, client.application, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def mimeo(url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "client.cli", "--url", url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.slow
def test_command_line_lists_deliveries_and_sends_one_again(
    client: FlaskClient, hook: Receiver, dispatcher: WebhookDispatcher
) -> None:
    job_id = submitted(client, hook)
    hook.statuses = [503]
    with served(client) as url:
        dispatcher.round()
        wait_until(lambda: "503" in mimeo(url, "deliveries", job_id).stdout)
        [delivery] = json.loads(f"[{mimeo(url, 'deliveries', job_id, '--json').stdout}]")
        again = mimeo(url, "deliveries", job_id, "--again", delivery["id"])
        unknown = mimeo(url, "deliveries", job_id, "--again", f"whd_{'0' * 26}")

    assert (delivery["event"], delivery["status"], delivery["attempts"]) == ("cancelled", "pending", 1)
    assert again.stdout.splitlines()[1].split("\t")[:3] == [delivery["id"], "cancelled", "pending"]
    assert (unknown.returncode, unknown.stderr) == (2, "mimeo: There is no delivery with that id.\n")


def test_deliveries_of_other_jobs_are_unknown(client: FlaskClient, hook: Receiver) -> None:
    first, second = submitted(client, hook), submitted(client, hook)
    [delivery] = client.get(f"/v1/training-jobs/{first}/webhook-deliveries").get_json()["data"]
    for path in (
        f"/v1/training-jobs/{second}/webhook-deliveries/{delivery['id']}/redeliver",
        f"/v1/training-jobs/{first}/webhook-deliveries/whd_{'0' * 26}/redeliver",
        f"/v1/training-jobs/{first}/webhook-deliveries/x/redeliver",
        f"/v1/training-jobs/trn_{'0' * 26}/webhook-deliveries/{delivery['id']}/redeliver",
    ):
        assert client.post(path).status_code == 404
    assert client.get(f"/v1/generation-jobs/gen_{'0' * 26}/webhook-deliveries").status_code == 404


@pytest.mark.parametrize(
    ("webhook", "pointer"),
    [
        ({"url": "http://10.0.0.1/"}, "/webhook/url"),
        ({"url": "x"}, "/webhook/url"),
        ({}, "/webhook/url"),
        ({"url": "https://example.org/", "events": ["exploded"]}, "/webhook/events/0"),
        ({"url": "https://example.org/", "events": []}, "/webhook/events"),
        ({"url": "https://example.org/", "secret": "x"}, "/webhook/secret"),
    ],
)
def test_bad_webhook_is_refused_with_its_field(client: FlaskClient, webhook: dict[str, Any], pointer: str) -> None:
    body = {"model_type": "vae", "dataset": "digits", "webhook": webhook}
    answer = client.post("/v1/training-jobs", json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]


def reconciler(settings: Settings) -> "subprocess.Popen[bytes]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMEO_")} | {
        "MIMEO_HOME": str(settings.home_path),
        "MIMEO_DATABASE_URL": settings.resolved_database_url,
        "MIMEO_REDIS_URL": settings.resolved_redis_url,
        "MIMEO_WEBHOOK_SECRET": SECRET,
        "MIMEO_WEBHOOK_ALLOWED_HOSTS": "127.0.0.0/8",
        "MIMEO_READY_MODELS": "0",
        "MIMEO_RECONCILE_S": "0.1",
    }
    return subprocess.Popen([sys.executable, "-m", "worker.reconciler"], env=environment)


@pytest.mark.slow
def test_event_reaches_its_receiver_although_the_reconciler_is_killed(
    client: FlaskClient, hook: Receiver, settings: Settings, database: SessionFactory
) -> None:
    job_id = submitted(client, hook)  # committed, and no process sends it
    hook.delay_s = 30.0
    with reconciler(settings) as first:
        wait_until(lambda: len(hook.requests) == 1)
        first.send_signal(signal.SIGKILL)
        first.wait(PATIENCE_S)
    hook.delay_s = 0.0
    with transaction(database) as session:  # two minutes later
        session.execute(update(WebhookDelivery).values(next_attempt_at=datetime.now(UTC) - timedelta(seconds=1)))
    with reconciler(settings) as second:
        path = f"/v1/training-jobs/{job_id}/webhook-deliveries"
        wait_until(lambda: client.get(path).get_json()["data"][0]["status"] == "delivered")
        second.terminate()
        assert second.wait(PATIENCE_S) == 0

    assert len(hook.ids) == 2
    assert len(set(hook.ids)) == 1
