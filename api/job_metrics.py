"""Metrics of jobs, workers and queues, read from the database and Redis at each scrape by Prometheus.

Labels have few values: kinds, statuses, devices, model types, error codes. No job, owner or worker has a series.
"""

import math
from collections.abc import Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from api.runtime import Runtime
from shared.job_status import QUEUED_KINDS, JobStatus
from shared.services import metric_totals, queue_stats, webhook_deliveries, worker_loads
from shared.services.metric_totals import Key
from shared.services.worker_loads import WorkerLoad
from shared.settings import Settings

log = structlog.get_logger(__name__)

# Counters of metric_totals that have a kind alone, and those with a further label.
_PLAIN = {
    metric_totals.SUBMITTED: ("mimeo_jobs_submitted", "Jobs submitted."),
    metric_totals.STARTED: ("mimeo_attempts_started", "Attempts started: jobs claimed by a worker."),
    metric_totals.RELEASED: ("mimeo_attempts_released", "Attempts released without being counted."),
    metric_totals.LEASES_LOST: ("mimeo_leases_lost", "Attempts ended by the reconciler because the worker was lost."),
}


class DatabaseCollector(Collector):
    """What the database knows. Nothing but `mimeo_database_up` while it does not answer."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """Collect the metrics for one scrape."""
        is_up = GaugeMetricFamily("mimeo_database_up", "1 when the database answers.")
        try:
            with self._runtime.reading() as session:
                found = [
                    *_jobs(session),
                    *_totals(metric_totals.totals(session)),
                    *_workers(session, self._runtime.settings),
                    _reconciler(session),
                    _deliveries(session),
                ]
        except SQLAlchemyError as error:
            log.warning("metrics_without_database", error=str(error.__cause__ or error))
            found = []
        is_up.add_metric([], float(bool(found)))
        yield from (is_up, *found)


class NotificationCollector(Collector):
    """Notifications in Redis. Unreadable metrics are left out; `mimeo_redis_up` is then 0."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """Collect the metrics for one scrape."""
        is_up = GaugeMetricFamily("mimeo_redis_up", "1 when Redis answers.")
        waiting = GaugeMetricFamily("mimeo_queue_notifications", "Notifications waiting in Redis.", labels=["kind"])
        dropped = CounterMetricFamily(
            "mimeo_messages_dropped", "Messages in Redis that were no notification.", labels=["kind"]
        )
        depths = {kind: self._runtime.broker.depth(kind) for kind in QUEUED_KINDS}
        is_up.add_metric([], float(all(depth is not None for depth in depths.values())))
        for kind, depth in depths.items():
            if depth is not None:
                waiting.add_metric([kind], depth)
            if (count := self._runtime.broker.count_dropped(kind)) is not None:
                dropped.add_metric([kind], count)
        yield from (is_up, waiting, dropped)


def _jobs(session: Session) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("mimeo_jobs", "Jobs.", labels=["kind", "status"])
    due = GaugeMetricFamily("mimeo_due_jobs", "Jobs that a worker could claim now.", labels=["kind"])
    due_s = GaugeMetricFamily(
        "mimeo_oldest_due_seconds", "Time for which the first due job has been due.", labels=["kind"]
    )
    oldest = GaugeMetricFamily("mimeo_oldest_queued_seconds", "Wait of the longest waiting job.", labels=["kind"])
    counts, waits = queue_stats.count_by_status(session), queue_stats.oldest_queued_s(session)
    for kind in QUEUED_KINDS:
        for status in JobStatus:
            jobs.add_metric([kind, status.value], counts.get((kind, status), 0))
        now_due = queue_stats.due_jobs(session, kind)
        due.add_metric([kind], now_due.count)
        due_s.add_metric([kind], now_due.oldest_s)
        oldest.add_metric([kind], waits.get(kind, 0.0))
    yield from (jobs, due, due_s, oldest)


def _totals(totals: dict[Key, int]) -> Iterator[Metric]:
    for name, (metric, about) in _PLAIN.items():
        plain = CounterMetricFamily(metric, about, labels=["kind"])
        for kind in QUEUED_KINDS:
            plain.add_metric([kind], totals.get((name, kind, ""), 0))
        yield plain
    retried = CounterMetricFamily(
        "mimeo_attempts_retried", "Attempts that failed and are repeated.", labels=["kind", "code"]
    )
    ended = CounterMetricFamily("mimeo_jobs_ended", "Jobs ended.", labels=["kind", "status", "code"])
    for (name, of_kind, label), value in totals.items():
        if name == metric_totals.RETRIED:
            retried.add_metric([of_kind, label], value)
        elif name == metric_totals.ENDED:
            status, _, code = label.partition(":")
            ended.add_metric([of_kind, status, code], value)
    yield from (retried, ended, _waits(totals))


def _waits(totals: dict[Key, int]) -> Metric:
    about = "Time from when a job was due to its claim."
    waits = HistogramMetricFamily("mimeo_queue_wait_seconds", about, labels=["kind"])
    for kind in QUEUED_KINDS:
        count, buckets = 0, []
        for index, bound in enumerate((*metric_totals.WAIT_BOUNDS_S, math.inf)):
            count += totals.get((metric_totals.WAITS, kind, str(index)), 0)
            buckets.append(("+Inf" if math.isinf(bound) else str(float(bound)), count))
        waits.add_metric([kind], buckets, totals.get((metric_totals.WAIT_MS, kind, ""), 0) / 1000)
    return waits


def _workers(session: Session, settings: Settings) -> Iterator[Metric]:
    by_device = ["kind", "device"]
    alive = GaugeMetricFamily("mimeo_workers", "Live workers.", labels=by_device)
    busy = GaugeMetricFamily("mimeo_workers_busy", "Live workers with a job.", labels=by_device)
    used = GaugeMetricFamily("mimeo_device_memory_used_bytes", "Device memory that jobs use.", labels=by_device)
    memory = GaugeMetricFamily("mimeo_device_memory_bytes", "Device memory that workers have seen.", labels=by_device)
    disk = GaugeMetricFamily("mimeo_worker_disk_free_bytes", "Free space on the fullest disk.", labels=by_device)
    # 0 where there is no worker, so that an alert can compare it.
    none = {(kind, "cpu"): WorkerLoad() for kind in QUEUED_KINDS}
    for (kind, device), load in (none | worker_loads.loads(session, settings)).items():
        alive.add_metric([kind, device], load.workers)
        busy.add_metric([kind, device], load.busy)
        used.add_metric([kind, device], load.memory_bytes)
        memory.add_metric([kind, device], load.memory_total_bytes)
        if load.disk_free_bytes is not None:
            disk.add_metric([kind, device], load.disk_free_bytes)
    examples = GaugeMetricFamily("mimeo_training_examples_per_second", "Examples a second.", labels=["model_type"])
    steps = GaugeMetricFamily("mimeo_training_steps_per_second", "Optimizer steps a second.", labels=["model_type"])
    for model_type, speed in worker_loads.training_speeds(session, settings).items():
        examples.add_metric([model_type], speed.examples_per_s)
        steps.add_metric([model_type], speed.steps_per_s)
    yield from (alive, busy, used, memory, disk, examples, steps)


def _reconciler(session: Session) -> Metric:
    age_s = metric_totals.reconciler_age_s(session)
    about = "Time since a reconciler has ended a round; +Inf if none ever has."
    return GaugeMetricFamily("mimeo_reconciler_age_seconds", about, value=math.inf if age_s is None else age_s)


def _deliveries(session: Session) -> Metric:
    deliveries = GaugeMetricFamily("mimeo_webhook_deliveries", "Deliveries of webhooks.", labels=["status"])
    for status, count in webhook_deliveries.count_by_status(session).items():
        deliveries.add_metric([status], count)
    return deliveries
