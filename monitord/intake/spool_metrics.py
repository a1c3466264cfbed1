"""What the spool counts of itself, as self-metrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from monitord.intake.spool.spool import Spool


class SpoolMetrics(Collector):
    """
    Collects from the spool when somebody asks, so that a batch costs nothing for it.

    They close the sum: decoded = appended + refused, and found + appended = pending + stored +
    duplicates + refused by the store + lost + damaged + misfits.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def describe(self) -> Iterator[Metric]:
        """Name the metrics, so that one of them can be asked for without the others."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the spool."""
        for name, text, value in self._gauges():
            yield GaugeMetricFamily(f"monitord_spool_{name}", text, value)
        for name, text, value in self._counters():
            yield CounterMetricFamily(f"monitord_spool_{name}", text, value)
        yield self._oldest()
        yield self._refused()

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        spool, backlog = self._spool, self._spool.backlog
        yield "pending_events", "Events appended or found that are not done.", spool.pending_events
        yield "pending_frames", "Frames on disk that are not done.", backlog.frames
        yield "pending_bytes", "Their bytes on disk.", backlog.bytes
        yield "disk_bytes", "Bytes of all segments.", spool.disk_bytes
        yield "found_events", "Events found on disk at the start.", backlog.found.events
        yield "sync_last_seconds", "The last fdatasync.", spool.figures.sync_seconds_last
        yield "sync_max_seconds", "The longest fdatasync.", spool.figures.sync_seconds_max

    def _counters(self) -> Iterator[tuple[str, str, float]]:
        figures, backlog = self._spool.figures, self._spool.backlog
        yield "commits", "Groups of frames made durable.", figures.commits
        yield "appended_events", "Events taken.", figures.appended_events
        yield "lost_events", "Events taken whose write then failed.", figures.lost_events
        told = "Of the lost ones, events whose senders were told so and have them still."
        yield "lost_told_events", told, figures.told_events
        yield "damaged_events", "Events of damaged records.", backlog.damaged_events
        yield "damaged_records", "Damaged stretches met on disk.", backlog.quarantine.records
        yield "damaged_bytes", "Their bytes.", backlog.quarantine.bytes
        yield "misfit_events", "Events on disk this version does not know.", backlog.misfits

    def _oldest(self) -> Metric:
        oldest = GaugeMetricFamily(
            "monitord_spool_oldest_timestamp_seconds",
            "When the oldest event that is not stored yet arrived; absent without any.",
        )
        if self._spool.backlog.oldest_at is not None:
            oldest.add_metric([], self._spool.backlog.oldest_at)
        return oldest

    def _refused(self) -> Metric:
        refused = CounterMetricFamily(
            "monitord_spool_refused_events", "Events the spool did not take.", labels=["reason"]
        )
        for reason, count in sorted(self._spool.figures.refused_events.items()):
            refused.add_metric([reason], count)
        return refused
