"""Metrics of jobs, read from the database and Redis at each scrape by Prometheus."""

from collections.abc import Iterator

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.runtime import Runtime
from shared.job_status import QUEUED_KINDS, JobStatus
from shared.services import queue_stats

log = structlog.get_logger(__name__)


class JobCollector(Collector):
    """Jobs by kind and status, the wait of the oldest queued one, and notifications in Redis.

    Unreadable metrics are left out; `mimeo_database_up` or `mimeo_redis_up` is then 0.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterator[Metric]:
        """Collect the metrics for one scrape."""
        yield from self._jobs()
        yield from self._notifications()

    def _jobs(self) -> Iterator[Metric]:
        is_up = GaugeMetricFamily("mimeo_database_up", "1 when the database answers.")
        jobs = GaugeMetricFamily("mimeo_jobs", "Jobs.", labels=["kind", "status"])
        oldest = GaugeMetricFamily("mimeo_oldest_queued_seconds", "Wait of the longest waiting job.", labels=["kind"])
        try:
            with self._runtime.reading() as session:
                counts = queue_stats.count_by_status(session)
                waits = queue_stats.oldest_queued_s(session)
        except SQLAlchemyError as error:
            log.warning("metrics_without_database", error=str(error.__cause__ or error))
            is_up.add_metric([], 0)
            yield is_up
            return
        is_up.add_metric([], 1)
        for kind in QUEUED_KINDS:
            for status in JobStatus:
                jobs.add_metric([kind, status.value], counts.get((kind, status), 0))
            oldest.add_metric([kind], waits.get(kind, 0.0))
        yield from (is_up, jobs, oldest)

    def _notifications(self) -> Iterator[Metric]:
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
