"""What monitord counts of itself: one registry, one literal list of names."""

from __future__ import annotations

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge


class Telemetry:
    """
    The self-metrics, as Prometheus counters and gauges of an own registry.

    Count per batch, not per event: one increment costs about half a microsecond.
    Losses are told apart by `reason`, so that arrived = stored + pending + the sum of the losses.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)

        # ingest
        self.datagrams = counter("monitord_ingest_datagrams", "UDP datagrams read.")
        self.kernel_drops = gauge(
            "monitord_ingest_udp_kernel_drops",
            "UDP datagrams the kernel dropped before they were read.",
        )
        self.receive_buffer = gauge(
            "monitord_ingest_udp_receive_buffer_bytes",
            "Effective receive buffer of the UDP socket.",
        )
        self.events = counter(
            "monitord_ingest_events",
            "Events decoded and taken, by protocol and type.",
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
        # queue and store
        self.queue_events = gauge("monitord_queue_events", "Events waiting to be stored.")
        self.queue_dropped = counter(
            "monitord_queue_dropped_events",
            "Events dropped because the queue was full.",
            ["source"],
        )
        self.stored = counter("monitord_store_events", "Events stored, by type.", ["type"])
        self.refused = counter(
            "monitord_store_refused_events", "Events the store refused for good, by type.", ["type"]
        )
        self.duplicates = counter(
            "monitord_store_duplicate_events",
            "Events that came to the store again after they had been stored.",
        )
        self.store_up = gauge("monitord_store_up", "1 while the store answers.")
        self.store_failures = counter(
            "monitord_store_failures", "Failed attempts to write to the store."
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
