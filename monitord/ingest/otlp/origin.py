"""Who sent: what a resource, and a scope, say of all the events under them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from monitord.ingest.decoded import Code, Refused
from monitord.ingest.limits import NAME_CHARACTERS
from monitord.ingest.otlp.identity import digest_of
from monitord.ingest.otlp.values import attributes_of, check_number, text_of
from monitord.ingest.settle import NO_SERVICE


# What of a resource each of its spans and logs carries: where it ran, and which version.
KEPT = (
    "service.version",
    "service.namespace",
    "service.instance.id",
    "deployment.environment.name",
    "deployment.environment",
    "host.name",
)
# The attributes of a resource as they were sent: hundreds of times what an SDK says.
RESOURCE_BYTES = 256 * 1024


class Origin(NamedTuple):
    """
    A resource: the service, and the few attributes that each of its events carries too.

    `identity` is a digest of all it said, which tells it from every other one.
    """

    service: str
    attributes: dict[str, Any]
    identity: bytes = b""


NOBODY = Origin(NO_SERVICE, {})


def origin_of(resource: Any) -> Origin:
    """Read a resource. Raises Malformed; Refused: it, or its service's name, is too long."""
    _check_size(resource.attributes)
    attributes = attributes_of(resource.attributes)
    service = text_of(attributes.get("service.name") or NO_SERVICE)
    if len(service) > NAME_CHARACTERS:
        raise Refused(
            Code.TOO_LONG,
            f"service.name: expected at most {NAME_CHARACTERS} characters, got {len(service)}",
        )
    kept = {name: attributes[name] for name in KEPT if name in attributes}
    return Origin(service, kept, digest_of(*sorted(resource.attributes)).digest())


def _check_size(raw: Collection[bytes]) -> None:
    check_number(raw)
    size = sum(map(len, raw))
    if size > RESOURCE_BYTES:
        raise Refused(
            Code.TOO_LONG,
            f"resource: expected at most {RESOURCE_BYTES:,} bytes of attributes, got {size:,}",
        )
