"""What a listener counts of each drain or body: once per batch, its labels looked up before."""

from __future__ import annotations

from monitord.ingest.decoded import Code, Decoded
from monitord.telemetry import Telemetry


class Counts:
    """The self-metrics of one listener; `protocol` is its label."""

    def __init__(self, telemetry: Telemetry, protocol: str) -> None:
        events, rejected = telemetry.events, telemetry.rejected
        self._requests = events.labels(protocol, "request")
        self._logs = events.labels(protocol, "log")
        self._metrics = events.labels(protocol, "metric")
        self._rejected = {code: rejected.labels(protocol, code) for code in Code}
        self._unknown_fields = telemetry.unknown_fields
        self._clamped_times = telemetry.clamped_times

    def count(self, decoded: Decoded) -> None:
        """Count what was taken, and what was wrong."""
        if decoded.requests:
            self._requests.inc(len(decoded.requests))
        if decoded.logs:
            self._logs.inc(len(decoded.logs))
        if decoded.metrics:
            self._metrics.inc(len(decoded.metrics))
        self.count_wrong(decoded)

    def count_wrong(self, decoded: Decoded) -> None:
        """Count what was wrong alone, for a body of which nothing is taken."""
        for code, events in decoded.refused.items():
            self._rejected[code].inc(events)
        if decoded.unknown_fields:
            self._unknown_fields.inc(decoded.unknown_fields)
        if decoded.clamped_times:
            self._clamped_times.inc(decoded.clamped_times)
