"""What monitord counts of itself: one registry, one literal list of names."""

from __future__ import annotations

import time

from collections.abc import Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class LateGauge(Collector):
    """A gauge that is absent until it was set: a number nobody could read is not zero."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text
        self.value: float | None = None

    def set(self, value: float) -> None:
        self.value = value

    def describe(self) -> Iterator[Metric]:
        """Name the metric, so that it can be asked for without the others."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        """Yield the metric, without a sample while there is none."""
        family = GaugeMetricFamily(self._name, self._text)
        if self.value is not None:
            family.add_metric([], self.value)
        yield family


class Telemetry:
    """
    The self-metrics, as Prometheus counters and gauges of an own registry.

    Count per batch, not per event: one increment costs about half a microsecond.
    Losses are told apart by `reason`, so that arrived = stored + pending + the sum of the losses.
    """

    def __init__(self) -> None:
        # Unix seconds: every total is what was counted since then.
        self.since = time.time()
        self.registry = CollectorRegistry(auto_describe=False)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)

        # ingest
        self.datagrams = counter("monitord_ingest_datagrams", "UDP datagrams read.")
        self.kernel_drops = LateGauge(
            "monitord_ingest_udp_kernel_drops",
            "UDP datagrams the kernel dropped before they were read; absent while it does not say.",
        )
        self.registry.register(self.kernel_drops)
        self.receive_buffer = gauge(
            "monitord_ingest_udp_receive_buffer_bytes",
            "Effective receive buffer of the UDP socket.",
        )
        self.events = counter(
            "monitord_ingest_events",
            "Events decoded or scraped, by protocol and type; the spool took or refused them.",
            ["protocol", "type"],
        )
        self.rejected = counter(
            "monitord_ingest_rejected_events",
            "Events refused at the edge, by protocol and reason.",
            ["protocol", "reason"],
        )
        self.unknown_fields = counter(
            "monitord_ingest_unknown_fields",
            "Fields of the native protocol that monitord does not know.",
        )
        self.clamped_times = counter(
            "monitord_ingest_clamped_times", "Events whose time was moved into the accepted range."
        )
        self.lost = counter(
            "monitord_ingest_lost_events",
            "Events an emitter sent in datagrams that never arrived, by service.",
            ["service"],
        )
        self.redacted_values = counter(
            "monitord_redacted_values",
            "Secrets and literals hidden in events before they are kept.",
        )
        # spool (what it counts of itself is collected from it) and store
        self.dropped = counter(
            "monitord_dropped_events",
            "Events that were shown but not kept, because the spool took none.",
            ["source"],
        )
        self.stored = counter("monitord_store_events", "Events stored, by type.", ["type"])
        self.refused = counter(
            "monitord_store_refused_events", "Events the store refused for good, by type.", ["type"]
        )
        self.duplicates = counter(
            "monitord_store_duplicate_events",
            "Events that had been stored: their frame, their id or its request's key came again.",
        )
        self.dead_letters = counter(
            "monitord_dead_letters", "Refused events written to the dead-letter file."
        )
        self.dead_letters_lost = counter(
            "monitord_dead_letters_lost",
            "Refused events let go from the full dead-letter file, or that it could not take.",
        )
        self.store_up = gauge("monitord_store_up", "1 while the store answers.")
        self.store_bytes = gauge(
            "monitord_store_bytes", "Size of monitord's own tables and their indexes."
        )
        self.size_cap_dropped = counter(
            "monitord_store_size_cap_dropped_partitions",
            "Partitions dropped before their time, because the store was above its size.",
        )
        self.spans_kept = counter(
            "monitord_spans_kept", "Spans kept for their value when their hour was thinned."
        )
        self.spans_let_go = counter(
            "monitord_spans_let_go", "Spans let go when their hour was thinned."
        )
        self.store_failures = counter(
            "monitord_store_failures", "Failed attempts to write to the store."
        )
        self.store_damage = counter(
            "monitord_store_damaged_reads", "Reads that met a damaged chunk of the archive."
        )
        # scrapers
        self.scrapes = counter(
            "monitord_scrapes", "Scrapes, by target and outcome.", ["kind", "target", "outcome"]
        )
        self.scrape_seconds = gauge(
            "monitord_scrape_duration_seconds", "Duration of the last scrape.", ["kind", "target"]
        )
        # page
        self.watchers = gauge("monitord_stream_watchers", "Open live log streams.")
        self.stream_gaps = counter(
            "monitord_stream_dropped_lines", "Log lines a slow watcher did not get."
        )
        # process
        self.loop_lag = gauge(
            "monitord_loop_lag_seconds", "Longest delay of the event loop in the last interval."
        )

    def collect_from(self, collector: Collector) -> None:
        """Expose what a part counts by itself, beside the self-metrics."""
        self.registry.register(collector)

    def total(self, name: str) -> float:
        """Return the sum of one exposed name over its labels; 0 while nothing has it."""
        families = self.registry.restricted_registry([name]).collect()
        return sum(sample.value for family in families for sample in family.samples)
