"""What one body of OTLP gave."""

from __future__ import annotations

from dataclasses import dataclass

from monitord.ingest.decoded import Decoded


@dataclass(slots=True)
class Exported(Decoded):
    """`undated` is how many records said no time, and were given that of receipt."""

    undated: int = 0
