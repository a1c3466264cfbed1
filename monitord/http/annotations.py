"""`/api/v1/annotations`: the marks of a window, and making one."""

from __future__ import annotations

import json

from typing import Any

from aiohttp import web
from msgspec import Struct

from monitord.errors import NotTaken
from monitord.http.keys import PORTS
from monitord.http.parameter import whole
from monitord.http.parameters import SERVICE, span_of
from monitord.http.respond import answer, refusal
from monitord.http.sources import in_time
from monitord.ingest.counts import Counts
from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.lenient import FIELDS, lenient
from monitord.ingest.settle import settle
from monitord.listen import read_body
from monitord.model import Annotation
from monitord.store.annotations import StoredAnnotation


BODY_BYTES = 64 * 1024

MOST = whole("limit", "How many annotations at most: the newest.", 1, 1_000, 200)


class AnnotationList(Struct, frozen=True, kw_only=True):
    """The annotations of a window, newest first; with `cut` there are older ones beside."""

    start: float
    end: float
    annotations: list[StoredAnnotation]
    cut: bool


class NewAnnotation(Struct, frozen=True, kw_only=True):
    """
    What is to be marked. `time` is Unix seconds or RFC 3339 with an offset, now without one; of two
    with one `id` within 24 hours one is kept.
    """

    title: str
    text: str = ""
    kind: str = "note"
    service: str = ""
    time: float | str | None = None
    attributes: dict[str, str] = {}
    id: str | None = None


class TakenAnnotation(Struct, frozen=True, kw_only=True):
    """The annotation as it was taken; it is safe on disk, and stored in a second or so."""

    time: float
    title: str
    service: str
    kind: str
    text: str
    attributes: dict[str, str]


async def annotations_of(request: web.Request) -> web.Response:
    ports, query = request.app[PORTS], request.query
    span, service, limit = span_of(query, ports.now()), SERVICE.of(query), MOST.of(query)
    found = await in_time(ports.annotations.between(span.start, span.end, service, limit + 1))
    return answer(
        AnnotationList(
            start=span.start, end=span.end, annotations=found[:limit], cut=len(found) > limit
        )
    )


async def annotate(request: web.Request) -> web.Response:
    """Take one annotation in as every event comes in; answer when it is safe on disk."""
    if request.content_type != "application/json":
        return refusal(415, "Content-Type: expected application/json")
    ports = request.app[PORTS]
    body, now = await read_body(request, BODY_BYTES), ports.now()
    try:
        decoded = decode(body, now)
    except Refused as refused:
        return refusal(400, refused.sentence)
    Counts(ports.telemetry, "http").count(decoded)
    try:
        await ports.intake.deliver(decoded.batch(now, len(body)))
    except NotTaken as why:
        return not_taken(why)
    return answer(taken(decoded.annotations[0]), 201)


def decode(body: bytes, now: float) -> Decoded:
    """Return the annotation of a body, by the rules of every event. Raises Refused."""
    text, into = body.decode("utf-8", "replace"), Decoded()
    event = lenient(typed(text), now, into)
    settle(0, event, now, into)
    for wrong in into.refusals:
        raise Refused(wrong.code, wrong.sentence)
    return into


def typed(text: str) -> str:
    """Return a JSON object with the type of annotations; anything else as it is. Raises Refused."""
    try:
        found = json.loads(text)
        if isinstance(found, dict):
            check_fields(found)
            return json.dumps({**found, "type": "annotation"})
    except (ValueError, RecursionError):
        pass  # who decodes it says what is wrong
    return text


def check_fields(found: dict[str, Any]) -> None:
    """Refuse what is no annotation: nobody is told what was left out of a single event."""
    known = ["type", *sorted(FIELDS["annotation"])]
    for name in found:
        if name not in known:
            listed = ", ".join(known[1:])
            raise Refused(Code.INVALID_FIELD, f"{name[:60]}: unknown field; known are {listed}")
    if found.get("type", "annotation") != "annotation":
        raise Refused(Code.UNSUPPORTED_TYPE, "type: expected annotation")


def not_taken(why: NotTaken) -> web.Response:
    if why.wait_seconds is None:
        return refusal(422, str(why))
    return refusal(429 if why.crowded else 503, str(why), {"Retry-After": str(why.wait_seconds)})


def taken(annotation: Annotation) -> TakenAnnotation:
    return TakenAnnotation(
        time=annotation.time,
        title=annotation.title,
        service=annotation.service,
        kind=annotation.kind,
        text=annotation.text,
        attributes=annotation.attributes,
    )
