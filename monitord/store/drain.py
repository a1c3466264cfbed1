"""One drain of the queue made ready to be written: columns and rows, with numbers for names."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from numpy.typing import NDArray

from monitord.model import Frame, Log, Metric, Request
from monitord.store import request_rows, samples
from monitord.store.copying import DAY_US, one_us, stretches
from monitord.store.dictionaries import Dictionaries
from monitord.store.failures import ENCODING
from monitord.store.log_rows import LogRow, log_row
from monitord.store.names import pairs
from monitord.store.request_rows import RequestColumns
from monitord.store.samples import SampleColumns
from monitord.store.sums import Ints


# An event further from its arrival was not timed by a clock; it would only make odd partitions.
OLDEST_US = 400 * DAY_US
NEWEST_US = 2 * DAY_US


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that was left out, and why. `type` is request, log or metric."""

    type: str
    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drain:
    """What one transaction writes; rows that cannot be stored are in `refusals` instead."""

    frames: Sequence[Frame]
    requests: RequestColumns
    logs: Sequence[LogRow]
    samples: SampleColumns
    refusals: Sequence[Refusal]

    def days(self) -> dict[str, set[date]]:
        """Return the days of the rows, by partitioned table."""
        histograms = self.samples.kind == samples.HISTOGRAM
        values = days_of(self.samples.at_us[~histograms])
        logs = np.fromiter((row.at_us for row in self.logs), np.int64, len(self.logs))
        return {
            "requests": days_of(self.requests.at_us),
            "logs": days_of(logs),
            "metrics": values,
            "metric_rollup_minutes": values,
            "metric_rollup_hours": values,
            "metric_histograms": days_of(self.samples.at_us[histograms]),
        }


def days_of(at_us: Ints) -> set[date]:
    first = date(2000, 1, 1)
    return {first + timedelta(days=int(day)) for day in np.unique(at_us // DAY_US)}


async def prepare(frames: Sequence[Frame], dictionaries: Dictionaries, host_id: int) -> Drain:
    """
    Make frames ready to be written, a stretch at a time.

    Raises StoreUnreachable, StoreError: names could not be numbered.
    """
    refusals: list[Refusal] = []
    received = [one_us(frame.batch.received_at) for frame in frames]
    span = (min(received) - OLDEST_US, max(received) + NEWEST_US)
    return Drain(
        frames,
        await ready_requests(frames, dictionaries, span, refusals),
        await ready_logs(frames, dictionaries, host_id, span, refusals),
        await ready_samples(frames, dictionaries, span, refusals),
        refusals,
    )


async def ready_requests(
    frames: Sequence[Frame],
    dictionaries: Dictionaries,
    span: tuple[int, int],
    refusals: list[Refusal],
) -> RequestColumns:
    events = [one for frame in frames for one in frame.batch.requests]
    parts = [request_rows.columns((), ())]
    for some in stretches(events):
        names = [(one.service, one.method, one.route) for one in some]
        rows = request_rows.columns(some, await dictionaries.endpoints.numbers(names))
        kept = rows.valid & (rows.at_us >= span[0]) & (rows.at_us <= span[1])
        if not kept.all():
            refuse(refusals, "request", some, ~kept)
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
    for some in stretches(places):
        records = [frame.batch.logs[index] for frame, index in some]
        numbers = await dictionaries.loggers.numbers([(one.service, one.logger) for one in records])
        for (frame, index), number in zip(some, numbers, strict=True):
            try:
                row = log_row(frame, index, number, host_id)
            except (*ENCODING, RecursionError) as error:
                refusals.append(Refusal("log", said(frame.batch.logs[index]), str(error)))
                continue
            if span[0] <= row.at_us <= span[1]:
                ready.append(row)
            else:
                refusals.append(Refusal("log", said(frame.batch.logs[index]), OUT_OF_RANGE))
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
    for some in stretches(events):
        names = [(m.service, m.name, m.kind, m.unit, pairs(m.attributes)) for m in some]
        rows = samples.columns(some, await dictionaries.series.numbers(names))
        kept = rows.valid & (rows.at_us >= span[0]) & (rows.at_us <= span[1])
        if not kept.all():
            refuse(refusals, "metric", some, ~kept)
            rows = rows.take(kept)
        parts.append(rows)
        await asyncio.sleep(0)
    return samples.joined(parts)


OUT_OF_RANGE = "a number or its time is out of range"


def refuse(
    refusals: list[Refusal],
    kind: str,
    events: Sequence[Request] | Sequence[Metric],
    bad: NDArray[np.bool_],
) -> None:
    for row in np.flatnonzero(bad).tolist():
        refusals.append(Refusal(kind, said(events[row]), OUT_OF_RANGE))


def said(event: Request | Log | Metric) -> str:
    """Return an event for a log line: short, and on one line whatever it holds."""
    return repr(event)[:200]
