"""Metrics of this process and of its disks, read at each scrape by Prometheus."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.runtime import Runtime
from shared import disk_space


class StreamCollector(Collector):
    """Open streams of live changes, and their limit."""

    def __init__(self, runtime: Runtime) -> None:
        self._streams = runtime.streams

    def collect(self) -> Iterator[Metric]:
        """Collect the metrics for one scrape."""
        yield GaugeMetricFamily("mimeo_streams_open", "Open streams of live changes.", value=self._streams.taken)
        yield GaugeMetricFamily("mimeo_streams_limit", "MIMEO_MAX_STREAMS.", value=self._streams.limit)


class DiskCollector(Collector):
    """Space on the fullest local disk that the API writes to; left out where no folder is local."""

    def __init__(self, runtime: Runtime) -> None:
        self._settings = runtime.settings

    def collect(self) -> Iterator[Metric]:
        """Collect the metrics for one scrape."""
        try:
            disk = disk_space.fullest(self._settings)
        except OSError:
            return
        required = "Free space below which no job is accepted or started (MIMEO_MIN_FREE_BYTES)."
        yield GaugeMetricFamily("mimeo_disk_required_bytes", required, value=self._settings.min_free_bytes)
        if disk is not None:
            yield GaugeMetricFamily("mimeo_disk_free_bytes", "Free space on the API's fullest disk.", value=disk.free)
            yield GaugeMetricFamily("mimeo_disk_total_bytes", "Size of the API's fullest disk.", value=disk.total)
