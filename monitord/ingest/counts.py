"""What a listener counts of each drain or body: once per batch, its labels looked up before."""

from __future__ import annotations

from monitord.ingest.decoded import Code, Decoded
from monitord.model import LISTS
from monitord.telemetry import Telemetry


class Counts:
    """The self-metrics of one listener; `protocol` is its label."""

    def __init__(self, telemetry: Telemetry, protocol: str) -> None:
        events, rejected = telemetry.events, telemetry.rejected
        self._events = {name: events.labels(protocol, kind) for kind, name in LISTS.items()}
        self._rejected = {code: rejected.labels(protocol, code) for code in Code}
        self._unknown_fields = telemetry.unknown_fields
        self._clamped_times = telemetry.clamped_times

    def count(self, decoded: Decoded) -> None:
        """Count what was taken, and what was wrong."""
        for name, counter in self._events.items():
            if events := getattr(decoded, name):
                counter.inc(len(events))
        self.count_wrong(decoded)

    def count_wrong(self, decoded: Decoded) -> None:
        """Count what was wrong alone, for a body of which nothing is taken."""
        for code, events in decoded.refused.items():
            self._rejected[code].inc(events)
        if decoded.unknown_fields:
            self._unknown_fields.inc(decoded.unknown_fields)
        if decoded.clamped_times:
            self._clamped_times.inc(decoded.clamped_times)
