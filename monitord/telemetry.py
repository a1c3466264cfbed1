"""What monitord counts of itself: one registry, one literal list of names."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Telemetry:
    """
    The self-metrics, as Prometheus counters and gauges of an own registry.

    Count per batch, not per event: one increment costs about half a microsecond.
    Losses are told apart by `reason`, so that arrived = stored + pending + the sum of the losses.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=False)
        # ingest
        self.datagrams = Counter(
            "monitord_ingest_datagrams", "UDP datagrams read.", registry=registry
        )
        self.kernel_drops = Gauge(
            "monitord_ingest_udp_kernel_drops",
            "UDP datagrams the kernel dropped before they were read.",
            registry=registry,
        )
        self.receive_buffer = Gauge(
            "monitord_ingest_udp_receive_buffer_bytes",
            "Effective receive buffer of the UDP socket.",
            registry=registry,
        )
        self.events = Counter(
            "monitord_ingest_events",
            "Events decoded and taken, by protocol and type.",
            ["protocol", "type"],
            registry=registry,
        )
        self.rejected = Counter(
            "monitord_ingest_rejected_events",
            "Events refused at the edge, by protocol and reason.",
            ["protocol", "reason"],
            registry=registry,
        )
        self.unknown_fields = Counter(
            "monitord_ingest_unknown_fields",
            "Fields of the native protocol that monitord does not know.",
            registry=registry,
        )
        self.clamped_times = Counter(
            "monitord_ingest_clamped_times",
            "Events whose time was moved into the accepted range.",
            registry=registry,
        )
        # queue and store
        self.queue_events = Gauge(
            "monitord_queue_events", "Events waiting to be stored.", registry=registry
        )
        self.queue_dropped = Counter(
            "monitord_queue_dropped_events",
            "Events dropped because the queue was full.",
            ["source"],
            registry=registry,
        )
        self.stored = Counter(
            "monitord_store_events", "Events stored, by type.", ["type"], registry=registry
        )
        self.refused = Counter(
            "monitord_store_refused_events",
            "Events the store refused for good, by type.",
            ["type"],
            registry=registry,
        )
        self.duplicates = Counter(
            "monitord_store_duplicate_events",
            "Events that came to the store again after they had been stored.",
            registry=registry,
        )
        self.store_up = Gauge("monitord_store_up", "1 while the store answers.", registry=registry)
        self.store_failures = Counter(
            "monitord_store_failures", "Failed attempts to write to the store.", registry=registry
        )
        # scrapers
        self.scrapes = Counter(
            "monitord_scrapes",
            "Scrapes, by target and outcome.",
            ["kind", "target", "outcome"],
            registry=registry,
        )
        self.scrape_seconds = Gauge(
            "monitord_scrape_duration_seconds",
            "Duration of the last scrape.",
            ["kind", "target"],
            registry=registry,
        )
        # page
        self.watchers = Gauge(
            "monitord_stream_watchers", "Open live log streams.", registry=registry
        )
        self.stream_gaps = Counter(
            "monitord_stream_dropped_lines",
            "Log lines a slow watcher did not get.",
            registry=registry,
        )
        # process
        self.loop_lag = Gauge(
            "monitord_loop_lag_seconds",
            "Longest delay of the event loop in the last interval.",
            registry=registry,
        )
