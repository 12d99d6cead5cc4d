"""The dashboard and the alerts on a real Prometheus that scrapes a real API."""

import re
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from shared.db.session import SessionFactory, transaction
from shared.errors import JobFailure
from shared.job_status import ErrorCode, JobKind
from shared.services import job_queue, metric_totals, reaping, workers
from shared.settings import Settings
from tests import jobs
from tests.api.live import serve
from tests.api.worker_hands import WorkerWrites
from tests.observability.conftest import ROOT
from tests.observability.prometheus_server import Prometheus, prometheus
from tests.observability.test_configuration import ALERTS, dashboard
from tests.servers import Valkey
from tests.waiting import wait_until
from worker.event_counter import EventCounter

pytestmark = pytest.mark.slow
METRIC = re.compile(r"\b((?:mimeo|process)_[a-z_]+|up)\b")


def expressions() -> list[str]:
    """All queries of the dashboard, with the variables of Grafana filled in."""
    targets = [target for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [target["expr"].replace("$__rate_interval", "1m") for target in targets]


def work(database: SessionFactory, settings: Settings, worker: WorkerWrites) -> None:
    """Make jobs that succeed, fail, are repeated and lose their worker."""
    jobs.submitted(database, settings)
    worker.publish(worker.claim(JobKind.TRAINING))
    for code in (ErrorCode.INTERNAL, ErrorCode.OUT_OF_MEMORY):
        lease = jobs.running(database, settings)
        with transaction(database) as session:
            fenced = job_queue.renew_lease(session, lease)
            job_queue.finish_failed(fenced, JobFailure(code, "Failed."), settings)
    lost = jobs.running(database, settings)
    heartbeat_at = jobs.read_job(database, lost.job_id).heartbeat_at
    assert heartbeat_at is not None
    jobs.set_values(database, lost.job_id, heartbeat_at=heartbeat_at - timedelta(hours=1))
    held = jobs.running(database, settings)
    with transaction(database) as session:
        reaping.reap_expired(session, settings)
        workers.record_heartbeat(
            session, worker_id="w", kind=JobKind.TRAINING, host="h", pid=1, device="cpu", job_id=held.job_id,
            jobs_done=1, examples_per_s=1000.0, steps_per_s=10.0, memory_bytes=1 << 30, memory_total_bytes=1 << 34,
            disk_free_bytes=1 << 36,
        )  # fmt: skip
        metric_totals.record_reconciler(session)
    EventCounter(settings, database, settle_ms=0).round()


def has_scraped(server: Prometheus, times: int) -> bool:
    counts = server.query('count_over_time(mimeo_jobs{kind="training", status="succeeded"}[5m])')
    return bool(counts) and float(counts[0]["value"][1]) >= times


def test_every_query_is_valid_and_has_data(
    settings: Settings, database: SessionFactory, worker: WorkerWrites, valkey: Valkey, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"redis_url": SecretStr(valkey.url), "lease_s": 3600.0})
    work(database, settings, worker)
    with serve(settings) as api, prometheus(tmp_path, api.url.removeprefix("http://")) as server:
        httpx.get(f"{api.url}/v1/training-jobs", trust_env=False)
        wait_until(lambda: has_scraped(server, 1))
        work(database, settings, worker)  # rates need a change
        httpx.get(f"{api.url}/v1/training-jobs", trust_env=False)
        scraped = httpx.get(f"{api.url}/metrics", trust_env=False).text
        wait_until(lambda: has_scraped(server, 4))

        empty = [expression for expression in expressions() if not server.query(expression)]
        rules = {rule["name"]: rule["health"] for rule in server.rules()}
        firing = {series["metric"]["alertname"] for series in server.query('ALERTS{alertstate="firing"}')}
        offered = set(METRIC.findall(scraped)) | {"up"}

    assert empty == []
    assert rules == {rule["alert"]: "ok" for rule in ALERTS}
    assert firing <= {"MimeoLeasesLost"}
    for expression in [*expressions(), *(rule["expr"] for rule in ALERTS)]:
        assert set(METRIC.findall(expression)) <= offered, expression


def test_page_on_observation_lists_every_metric(settings: Settings, database: SessionFactory, valkey: Valkey) -> None:
    settings = settings.model_copy(update={"redis_url": SecretStr(valkey.url)})
    with serve(settings) as api:
        scraped = httpx.get(f"{api.url}/metrics", trust_env=False).text
    families = set(re.findall(r"^# TYPE (mimeo_\w+) ", scraped, re.MULTILINE))
    listed = set(re.findall(r"^\| `(mimeo_\w+)`", (ROOT / "docs/how-to/observe.md").read_text(), re.MULTILINE))
    assert listed == families
