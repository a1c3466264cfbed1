"""
StatsD and DogStatsD: lines of `name:value|type`, events and service checks. Bytes in, nouns out.

What stands beside a value is nearly always known from a line before: it is looked up as it was
sent, and a known line costs little more than two cuts.
"""

from __future__ import annotations

import re

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from monitord.ingest.aggregate import KINDS, Aggregate, Series
from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.limits import ATTRIBUTES, NAME_CHARACTERS
from monitord.ingest.native import BOM
from monitord.ingest.settle import CHANGES, settle
from monitord.ingest.texts import REPLACEMENT, UNSTORABLE
from monitord.model import Annotation, Log, Metric


# Of lines that name none.
SERVICE = "statsd"
# What a tag is that has no value.
FLAG = "true"

# Where no name begins: control characters and blanks (and gzip), JSON, syslog; a byte order mark
# and zlib.
NOT_A_NAME = frozenset(b'{["<' + bytes(range(0x21)))
NOT_NAMES = frozenset((BOM[:2], b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"))
# What is decoded before others get a turn: some 5 ms if none of it is known.
STEP_LINES = 1_024
STEP_BYTES = 16 * 1024
# What lines say beside their values, kept as it was sent, and the tags in all of it: some 30 MB
# at most. A longer one is read anew each time.
KNOWN = 16_384
KNOWN_TAGS = 50_000
KNOWN_BYTES = 512
FIELDS = 12
# A line may stand for 100,000.
LEAST_RATE = 1e-5

RATE = re.compile(rb"(?:\d+\.?\d*|\.\d+)(?:[eE]-?\d{1,3})?")
SECONDS = re.compile(rb"\d{1,11}(?:\.\d{1,9})?")
EVENT = re.compile(rb"_e\{(\d{1,5}),(\d{1,5})\}:")
ALERT_TYPES = frozenset({"error", "warning", "info", "success"})
# A field of an event, and the attribute it becomes.
EVENT_ATTRIBUTES = {
    "h": "host.name",
    "k": "aggregation_key",
    "p": "priority",
    "s": "source_type",
}
# What a check other than OK is, and how grave.
STATUSES = {b"0": ("ok", ""), b"1": ("a warning", "WARNING")}
STATUSES |= {b"2": ("critical", "ERROR"), b"3": ("unknown", "WARNING")}
# What clients add after a message.
ORIGIN = re.compile(r"(?:\|(?:c|e|card):[^|]*)+\Z")

Gathered = dict[Series, list[bytes]]


class Statsd:
    """The decoder of one listener; it remembers the series it has seen."""

    name = "statsd"

    def __init__(self) -> None:
        self._aggregate = Aggregate()
        self._known: dict[tuple[bytes, bytes], Series] = {}
        self._known_tags = 0

    def owns(self, datagram: bytes) -> bool:
        return b"|" in datagram and datagram[0] not in NOT_A_NAME and datagram[:2] not in NOT_NAMES

    def decoding(self, datagrams: Sequence[bytes], now: float, into: Decoded) -> Iterator[None]:
        """Decode one drain into *into*: its counters summed, its gauges the last, and so on."""
        lines = b"\n".join(datagrams).split(b"\n")
        seen: dict[tuple[bytes, bytes], list[bytes]] = {}
        gathered: Gathered = {}
        for number, some in enumerate(_steps(lines)):
            if number:
                yield
            self._gather(some, seen, gathered, now, into)
        yield from self._aggregate.settling(gathered, now, into)

    def _gather(
        self,
        lines: Sequence[bytes],
        seen: dict[tuple[bytes, bytes], list[bytes]],
        gathered: Gathered,
        now: float,
        into: Decoded,
    ) -> None:
        """Put values beside those of their series; events and checks are taken at once."""
        for line in lines:
            head, _, tail = line.partition(b"|")
            name, _, value = head.partition(b":")
            values = seen.get((name, tail))
            if values is not None:
                values.append(value)
                continue
            try:
                if not line.strip() or (name.startswith(b"_") and _take_other(line, now, into)):
                    continue
                series = self._series(name, tail, line)
                seen[name, tail] = values = gathered.setdefault(series, [])
                values.append(value)
            except Refused as why:
                into.refuse(0, why)

    def _series(self, name: bytes, tail: bytes, line: bytes) -> Series:
        series = self._known.get((name, tail))
        if series is None:
            series = series_of(name, tail, line)
            if len(name) + len(tail) <= KNOWN_BYTES and series.time is None:
                self._remember(name, tail, series)
        return series

    def _remember(self, name: bytes, tail: bytes, series: Series) -> None:
        self._known_tags += len(series.attributes)
        if len(self._known) >= KNOWN or self._known_tags > KNOWN_TAGS:
            self._known.clear()
            self._known_tags = len(series.attributes)
        self._known[name, tail] = series


def _steps(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield the lines in order, at most STEP_LINES at once, and STEP_BYTES but for a long one."""
    ends = list(accumulate(map(len, lines)))
    start = before = 0
    while start < len(lines):
        end = bisect_right(ends, before + STEP_BYTES, start, min(start + STEP_LINES, len(lines)))
        end = max(end, start + 1)
        yield lines[start:end]
        start, before = end, ends[end - 1]


def series_of(name: bytes, tail: bytes, line: bytes) -> Series:
    """
    Return what a line says beside its value: its *name*, and what stands behind the first bar.

    Raises Refused: it is no such line, or breaks a limit.
    """
    letters, *fields = tail.rstrip(b"\r").split(b"|", FIELDS)
    kind = letters.decode("utf-8", "replace")
    if not name or not letters:
        raise Refused(Code.MISSING_FIELD, f"expected name:value|type, got {_said(line)}")
    if kind not in KINDS:
        raise Refused(
            Code.UNSUPPORTED_TYPE, f"type: expected one of {', '.join(KINDS)}, got {_said(letters)}"
        )
    found = _Fields(fields)
    # Whoever sends tags and the like speaks DogStatsD, in which a sign is only a sign.
    plain = all(field.startswith(b"@") for field in fields)
    series = Series(
        type=kind,
        name=_text(name),
        service=found.service,
        attributes=tuple(sorted(found.attributes.items())),
        weight=1.0 if kind in ("g", "s") else 1.0 / _rate(found.of("@")),
        time=found.time("T"),
        relative=kind == "g" and plain,
    )
    CHANGES[Metric](series.sample(0.0, 0.0))
    return series


class _Fields:
    """
    What stands between bars: tags, and texts by the letter and colon they begin with.

    Raises Refused: more tags or fields than may be.
    """

    def __init__(self, fields: Sequence[bytes]) -> None:
        if len(fields) >= FIELDS:
            raise Refused(Code.INVALID_FIELD, f"expected at most {FIELDS - 1} fields in a line")
        self._fields = fields
        self.attributes: dict[str, str] = {}
        self.service = SERVICE
        for field in fields:
            if field.startswith(b"#"):
                self._read_tags(field[1:])

    def of(self, prefix: str) -> bytes | None:
        """Return what follows a prefix in the first field that has it."""
        raw = prefix.encode()
        return next((one.removeprefix(raw) for one in self._fields if one.startswith(raw)), None)

    def text(self, prefix: str) -> str:
        """Return the same as text, empty without it."""
        return _text(self.of(prefix) or b"")

    def time(self, prefix: str) -> float | None:
        """
        Return the same as Unix seconds, None without it.

        Raises Refused: it is none.
        """
        raw = self.of(prefix)
        if raw is None:
            return None
        if not SECONDS.fullmatch(raw):
            raise Refused(Code.INVALID_FIELD, f"{prefix} expected Unix seconds, got {_said(raw)}")
        return float(raw)

    def _read_tags(self, raw: bytes) -> None:
        # The service is none of the attributes.
        if raw.count(b",") > ATTRIBUTES:
            raise Refused(Code.TOO_MANY_ATTRIBUTES, f"tags: expected at most {ATTRIBUTES}")
        for tag in _text(raw).split(","):
            key, colon, value = tag.partition(":")
            if key == "service":
                self.service = value or self.service
            elif key:
                self.attributes[key] = value if colon else FLAG


def _rate(raw: bytes | None) -> float:
    """
    Return the share of all that was sent; each line stands for as many as it goes into 1.

    Raises Refused: it is no such share.
    """
    if raw is None:
        return 1.0
    rate = float(raw) if RATE.fullmatch(raw) else 0.0
    if not LEAST_RATE <= rate <= 1:
        sentence = f"@ expected a rate from {LEAST_RATE:f} to 1, got {_said(raw)}"
        raise Refused(Code.INVALID_FIELD, sentence)
    return rate


def _take_other(line: bytes, now: float, into: Decoded) -> bool:
    """
    Take an event or a service check; False when the line is neither.

    Raises Refused: it is one that cannot be taken.
    """
    if line.startswith(b"_e{"):
        settle(0, _event(line.rstrip(b"\r"), now), now, into)
    elif line.startswith(b"_sc|"):
        _take_check(line.rstrip(b"\r"), now, into)
    else:
        return False
    return True


def _event(line: bytes, now: float) -> Annotation:
    """
    Return an event as what it is here. The lengths of title and text are in bytes.

    Raises Refused: it is none.
    """
    head = EVENT.match(line)
    rest = line[head.end() :] if head else b""
    title, text = (int(head[1]), int(head[2])) if head else (0, 0)
    end = title + 1 + text
    bars = rest[title : title + 1] + (rest[end : end + 1] or b"|")
    if bars != b"||" or len(rest) < end:
        sentence = f"expected _e{{bytes of title,bytes of text}}:title|text, got {_said(line)}"
        raise Refused(Code.INVALID_FIELD, sentence)
    fields = _Fields(rest[end + 1 :].split(b"|", FIELDS))
    kind = fields.text("t:")
    others = {name: fields.text(f"{key}:") for key, name in EVENT_ATTRIBUTES.items()}
    at = fields.time("d:")
    return Annotation(
        time=now if at is None else at,
        title=_checked("title", _unescaped(_text(rest[:title]))),
        service=fields.service,
        kind=kind if kind in ALERT_TYPES else "event",
        text=_unescaped(_text(rest[title + 1 : end])),
        attributes=fields.attributes | {name: text for name, text in others.items() if text},
    )


def _take_check(line: bytes, now: float, into: Decoded) -> None:
    """
    Take a service check: a gauge, and a log record when it is not OK.

    Raises Refused: it is none.
    """
    body, _, message = line.partition(b"|m:")
    _, name, status, *rest = [*body.split(b"|", FIELDS + 2), b"", b""]
    if not name or status not in STATUSES:
        sentence = f"expected _sc|name|status with a status of 0 to 3, got {_said(line)}"
        raise Refused(Code.INVALID_FIELD, sentence)
    fields = _Fields([field for field in rest if field])
    host = fields.text("h:")
    attributes = fields.attributes | {"check": _text(name)} | ({"host.name": host} if host else {})
    at = fields.time("d:")
    time = now if at is None else at
    gauge = Metric(time, "service_check", float(status), fields.service, attributes=attributes)
    CHANGES[Metric](gauge)
    settle(0, gauge, now, into)
    said, level = STATUSES[status]
    if level:
        told = _unescaped(ORIGIN.sub("", _text(message))).replace("m\\:", "m:")
        text = f"{_text(name)} is {said}" + (f": {told}" if told else "")
        log = Log(time, fields.service, level, text, "service_check", fields=dict(attributes))
        settle(0, log, now, into)


def _text(raw: bytes) -> str:
    return UNSTORABLE.sub(REPLACEMENT, raw.decode("utf-8", "replace"))


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n")


def _checked(name: str, text: str) -> str:
    """
    Return the text.

    Raises Refused: it is empty, or longer than a name.
    """
    if not text:
        raise Refused(Code.MISSING_FIELD, f"{name}: missing")
    if len(text) > NAME_CHARACTERS:
        sentence = f"{name}: expected at most {NAME_CHARACTERS} characters, got {len(text)}"
        raise Refused(Code.TOO_LONG, sentence)
    return text


def _said(raw: bytes) -> str:
    return repr(_text(raw[:60]))
