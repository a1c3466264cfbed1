"""The line an emitter puts before the events of a datagram. It is none itself."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from monitord.model import Text


SenderId = Annotated[str, Meta(min_length=1, max_length=64)]
# What every JSON reader knows exactly, and a float too.
Count = Annotated[int, Meta(ge=0, lt=2**53)]


class Envelope(
    Struct, frozen=True, gc=False, tag_field="type", tag="sender", forbid_unknown_fields=True
):
    """
    What one datagram's sender says of itself.

    `sequence` is how many events it had sent before these `events`; `age_ms` is how long ago it
    sent its first. The `id` is one process's, never used again.
    """

    id: SenderId
    service: Text
    age_ms: Count
    sequence: Count
    events: Count
