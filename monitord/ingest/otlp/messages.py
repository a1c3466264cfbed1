"""A body of OTLP taken apart: its message, and the groups of records in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from monitord.ingest.decoded import Decoded, Refused, TooManyItems
from monitord.ingest.otlp.malformed import Malformed
from monitord.ingest.otlp.origin import NOBODY, Origin, origin_of


def parsed(message: Any, body: bytes) -> Any:
    """Return the message of this class that the body is. Raises Malformed."""
    try:
        return message.FromString(body)
    except DecodeError:
        raise Malformed(f"the body is no {message.DESCRIPTOR.name} in protobuf") from None


def groups(
    message: Any, signal: str, size: Callable[[Any], int], limit: int, into: Decoded
) -> Iterator[tuple[int, Origin, Any]]:
    """
    Yield each scope's group with its origin, and the place of its first record.

    `size` says how many records a group has; `signal` is what groups are named after.
    The records of an origin that cannot be are refused. Raises Malformed, and TooManyItems above
    *limit* records, or groups.
    """
    index = 0
    resources = getattr(message, f"resource_{signal}")
    scopes = len(resources)
    for resource in resources:
        scopes += len(getattr(resource, f"scope_{signal}"))
        if scopes > limit:
            raise TooManyItems
        try:
            origin, wrong = origin_of(resource.resource), None
        except Refused as why:
            origin, wrong = NOBODY, why
        for scope in getattr(resource, f"scope_{signal}"):
            count = size(scope)
            if index + count > limit:
                raise TooManyItems
            if wrong is None:
                yield index, origin, scope
            else:
                for place in range(index, index + count):
                    into.refuse(place, wrong)
            index += count


def are_few(message: Any, signal: str, size: Callable[[Any], int], most: int) -> bool:
    """Say whether a message holds at most so many records, and groups of them."""
    for resource in getattr(message, f"resource_{signal}"):
        most -= 1
        for scope in getattr(resource, f"scope_{signal}"):
            most -= 1 + size(scope)
            if most < 0:
                return False
    return most >= 0
