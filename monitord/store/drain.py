"""One drain of the queue made ready to be written: columns and rows, with numbers for names."""

from __future__ import annotations

import asyncio
import contextlib

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TypeVar

import numpy as np

from monitord.model import LISTS, Event, Frame, Metric, Request
from monitord.store import request_rows, samples
from monitord.store.annotation_rows import AnnotationRow, annotation_row
from monitord.store.copying import DAY_US, EPOCH_SECONDS, STRETCH, one_us, stretches
from monitord.store.dictionaries import Dictionaries
from monitord.store.event_ids import Claim, claims_of
from monitord.store.failures import ENCODING, describe
from monitord.store.log_rows import LogRow, log_row
from monitord.store.names import pairs
from monitord.store.partitions import HOUR_SECONDS, Period, hour_of
from monitord.store.places import Place, Places, events_of
from monitord.store.request_rows import RequestColumns
from monitord.store.samples import SampleColumns
from monitord.store.span_rows import SpanRow, span_row
from monitord.store.sums import Ints


# An event further from its arrival was not timed by a clock; it would only make odd partitions.
OLDEST_US = 400 * DAY_US
NEWEST_US = 2 * DAY_US

OUT_OF_RANGE = "a number or its time is out of range"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was left out because it cannot be stored, and why."""

    place: Place
    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """
    What one transaction writes; rows that cannot be stored are in `refusals` instead.

    `claims` are the ids that came with it; `duplicates` are the events left out because theirs had
    come before, which shows only in the transaction.
    """

    frames: Sequence[Frame]
    requests: RequestColumns
    logs: Sequence[LogRow]
    samples: SampleColumns
    spans: Sequence[SpanRow]
    annotations: Sequence[AnnotationRow]
    refusals: Sequence[Refusal]
    claims: Sequence[Claim]
    duplicates: frozenset[Place] = frozenset()

    def periods(self) -> dict[str, set[Period]]:
        """Return the days or hours of the rows, by partitioned table."""
        histograms = self.samples.kind == samples.HISTOGRAM
        values = days_of(self.samples.at_us[~histograms])
        logs, spans = (
            np.fromiter((row.at_us for row in rows), np.int64, len(rows))
            for rows in (self.logs, self.spans)
        )
        ids = np.fromiter((claim.at_us for claim in self.claims), np.int64, len(self.claims))
        return {
            "requests": days_of(self.requests.at_us),
            "logs": days_of(logs),
            "fresh_spans": hours_of(spans),
            "metrics": values,
            "metric_rollup_minutes": values,
            "metric_rollup_hours": values,
            "metric_histograms": days_of(self.samples.at_us[histograms]),
            "event_ids": days_of(ids),
        }

    def without(self, duplicates: frozenset[Place]) -> Drain:
        """Return the drain with these events left out as duplicates."""
        return replace(self.excluding(duplicates), duplicates=duplicates) if duplicates else self

    def excluding(self, places: Collection[Place]) -> Drain:
        """Return the drain without these events, their refusals and the ids they claim."""
        gone = {kind: [row for of, row in places if of == kind] for kind in LISTS}
        logs, spans, annotations = (set(gone[kind]) for kind in ("log", "span", "annotation"))
        return replace(
            self,
            requests=self.requests.take(~np.isin(self.requests.place, gone["request"])),
            logs=[row for row in self.logs if row.place not in logs],
            samples=self.samples.take(~np.isin(self.samples.place, gone["metric"])),
            spans=[row for row in self.spans if row.place not in spans],
            annotations=[row for row in self.annotations if row.place not in annotations],
            refusals=[one for one in self.refusals if one.place not in places],
            claims=[one for one in self.claims if one.place not in places],
        )

    def refusing(self, places: Collection[Place], reason: str) -> Drain:
        """Return the drain with these events refused."""
        left, events = self.excluding(places), Places(self.frames)
        refusals = [Refusal(one, said(events.event(one)), reason) for one in sorted(places)]
        return replace(left, refusals=[*left.refusals, *refusals])


def days_of(at_us: Ints) -> set[Period]:
    first = date(2000, 1, 1)
    return {first + timedelta(days=int(day)) for day in np.unique(at_us // DAY_US)}


def hours_of(at_us: Ints) -> set[Period]:
    hours = np.unique(at_us // (HOUR_SECONDS * 1_000_000)).tolist()
    return {hour_of(EPOCH_SECONDS + hour * HOUR_SECONDS) for hour in hours}


async def prepare(frames: Sequence[Frame], dictionaries: Dictionaries, host_id: int) -> Drain:
    """
    Make frames ready to be written, a stretch at a time.

    Raises StoreUnreachable, StoreError: names could not be numbered.
    """
    refusals: list[Refusal] = []
    received = [one_us(frame.batch.received_at) for frame in frames]
    span = (min(received) - OLDEST_US, max(received) + NEWEST_US)
    requests = await ready_requests(frames, dictionaries, span, refusals)
    logs = await ready_logs(frames, dictionaries, host_id, span, refusals)
    points = await ready_samples(frames, dictionaries, span, refusals)
    spans = await ready_spans(frames, dictionaries, host_id, span, refusals)
    annotations = ready_annotations(frames, span, refusals)
    claims = await claims_of(frames)
    if refusals and claims:
        # What is not stored claims no id: the event may be sent again, mended.
        refused = {one.place for one in refusals}
        claims = [claim for claim in claims if claim.place not in refused]
    return Drain(frames, requests, logs, points, spans, annotations, refusals, claims)


def all_refused(frames: Sequence[Frame], reason: str) -> Drain:
    """Return a drain of these frames that writes none of their events."""
    refusals = []
    for kind in LISTS:
        events = [one for frame in frames for one in events_of(frame, kind)]
        refusals += [Refusal((kind, row), said(one), reason) for row, one in enumerate(events)]
    none = request_rows.columns((), ())
    return Drain(frames, none, [], samples.columns((), ()), [], [], refusals, [])


async def ready_requests(
    frames: Sequence[Frame],
    dictionaries: Dictionaries,
    span: tuple[int, int],
    refusals: list[Refusal],
) -> RequestColumns:
    events = [one for frame in frames for one in frame.batch.requests]
    parts = [request_rows.columns((), ())]
    for number, some in enumerate(stretches(events)):
        names = [(one.service, one.method, one.route) for one in some]
        ids = await dictionaries.endpoints.numbers(names)
        rows = request_rows.columns(some, ids, number * STRETCH)
        kept = rows.valid & (rows.at_us >= span[0]) & (rows.at_us <= span[1])
        if not kept.all():
            refuse(refusals, "request", events, rows.place[~kept])
            rows = rows.take(kept)
        parts.append(rows)
        await asyncio.sleep(0)
    return request_rows.joined(parts)


async def ready_logs(
    frames: Sequence[Frame],
    dictionaries: Dictionaries,
    host_id: int,
    span: tuple[int, int],
    refusals: list[Refusal],
) -> list[LogRow]:
    places = [(frame, index) for frame in frames for index in range(len(frame.batch.logs))]
    ready: list[LogRow] = []
    for number, some in enumerate(stretches(places)):
        records = [frame.batch.logs[index] for frame, index in some]
        ids = await dictionaries.loggers.numbers([(one.service, one.logger) for one in records])
        numbered = zip(some, ids, strict=True)
        for place, ((frame, index), logger_id) in enumerate(numbered, number * STRETCH):
            with refusing(("log", place), frame.batch.logs[index], refusals):
                ready.append(in_range(log_row(frame, index, logger_id, host_id, place), span))
        await asyncio.sleep(0)
    return ready


async def ready_samples(
    frames: Sequence[Frame],
    dictionaries: Dictionaries,
    span: tuple[int, int],
    refusals: list[Refusal],
) -> SampleColumns:
    events = [one for frame in frames for one in frame.batch.metrics]
    parts = [samples.columns((), ())]
    for number, some in enumerate(stretches(events)):
        names = [(m.service, m.name, m.kind, m.unit, pairs(m.attributes)) for m in some]
        ids = await dictionaries.series.numbers(names)
        rows = samples.columns(some, ids, number * STRETCH)
        kept = rows.valid & (rows.at_us >= span[0]) & (rows.at_us <= span[1])
        if not kept.all():
            refuse(refusals, "metric", events, rows.place[~kept])
            rows = rows.take(kept)
        parts.append(rows)
        await asyncio.sleep(0)
    return samples.joined(parts)


async def ready_spans(
    frames: Sequence[Frame],
    dictionaries: Dictionaries,
    host_id: int,
    span: tuple[int, int],
    refusals: list[Refusal],
) -> list[SpanRow]:
    events = [one for frame in frames for one in frame.batch.spans]
    ready: list[SpanRow] = []
    for number, some in enumerate(stretches(events)):
        names = [(one.service, one.name, one.kind) for one in some]
        ids = await dictionaries.span_names.numbers(names)
        for place, (event, name_id) in enumerate(zip(some, ids, strict=True), number * STRETCH):
            with refusing(("span", place), event, refusals):
                ready.append(in_range(span_row(event, name_id, host_id, place), span))
        await asyncio.sleep(0)
    return ready


def ready_annotations(
    frames: Sequence[Frame], span: tuple[int, int], refusals: list[Refusal]
) -> list[AnnotationRow]:
    places = [(frame, index) for frame in frames for index in range(len(frame.batch.annotations))]
    ready: list[AnnotationRow] = []
    for place, (frame, index) in enumerate(places):
        with refusing(("annotation", place), frame.batch.annotations[index], refusals):
            ready.append(in_range(annotation_row(frame, index, place), span))
    return ready


Row = TypeVar("Row", LogRow, SpanRow, AnnotationRow)


def in_range(row: Row, span: tuple[int, int]) -> Row:
    """Return the row. Raises ValueError: its time is none of a clock."""
    if not span[0] <= row.at_us <= span[1]:
        raise ValueError(OUT_OF_RANGE)
    return row


@contextlib.contextmanager
def refusing(place: Place, event: Event, refusals: list[Refusal]) -> Iterator[None]:
    """Put an event that has no row among the refusals, with the reason."""
    try:
        yield
    except (*ENCODING, RecursionError) as error:
        refusals.append(Refusal(place, said(event), describe(error)))


def refuse(
    refusals: list[Refusal],
    kind: str,
    events: Sequence[Request] | Sequence[Metric],
    places: Ints,
) -> None:
    for place in places.tolist():
        refusals.append(Refusal((kind, place), said(events[place]), OUT_OF_RANGE))


def said(event: Event) -> str:
    """Return an event for a log line: short, and on one line whatever it holds."""
    return repr(event)[:200]
