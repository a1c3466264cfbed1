"""`/metrics`: monitord's own numbers in the text formats of Prometheus and OpenMetrics."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import monitord

from monitord.intake.window import Window
from monitord.telemetry import Telemetry


class _Targets(Collector):
    """The state of every target, as the window has it at this moment."""

    def __init__(self, window: Window) -> None:
        self._window = window

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "monitord_target_up",
            "1 while the target answers, 0 while it does not; absent before the first reading.",
            labels=["kind", "target"],
        )
        read = GaugeMetricFamily(
            "monitord_target_last_reading_timestamp_seconds",
            "When the target was last read, or was last found not to answer.",
            labels=["kind", "target"],
        )
        for status in self._window.targets():
            if status.up is not None and status.last_reading_at is not None:
                up.add_metric([status.kind, status.target], float(status.up))
                read.add_metric([status.kind, status.target], status.last_reading_at)
        build = InfoMetricFamily("monitord_build", "Which monitord this is.")
        build.add_metric([], {"version": monitord.__version__})
        yield from (up, read, build)


class Exposition:
    """Everything `/metrics` shows: what the parts count, the targets, and the process."""

    def __init__(self, telemetry: Telemetry, window: Window) -> None:
        self._registries = [telemetry.registry, CollectorRegistry()]
        self._registries[1].register(_Targets(window))
        ProcessCollector(namespace="monitord", registry=self._registries[1])

    def collect(self) -> Iterator[Metric]:
        for registry in self._registries:
            yield from registry.collect()

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return the text in the format the client prefers, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self), content_type
