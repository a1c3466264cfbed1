"""
Syslog: RFC 5424, RFC 3164, and what passes for the latter. Bytes in, logs out; no sockets here.

Only the priority is asked for. Whatever else is missing or odd costs its field, not the message.
"""

from __future__ import annotations

import re

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from monitord.ingest.decoded import Code, Decoded, Refused
from monitord.ingest.records import DAY_SECONDS, Said, seconds_of, take_record
from monitord.ingest.texts import cleaned


# By severity, 0 (emergency) to 7 (debug).
LEVELS_BY_SEVERITY = (
    *("CRITICAL", "CRITICAL", "CRITICAL", "ERROR"),
    *("WARNING", "INFO", "INFO", "DEBUG"),
)
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
    *("uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
# Looked into before others get a turn, some 3 ms: bytes, and what each datagram costs beside them.
STEP_BYTES = 16 * 1024
DATAGRAM_COST_BYTES = 128

PRIORITY = re.compile(r"<([0-9]{1,3})>")
HIGHEST_PRIORITY = 191
NIL = "-"
ELEMENT = re.compile(r'\[([^ =\]"]{1,200})((?: +[^ =\]"]{1,200}="(?:[^"\\]|\\.)*")*) *\]', re.S)
PARAMETER = re.compile(r' +([^ =\]"]{1,200})="((?:[^"\\]|\\.)*)"', re.S)
ESCAPED = re.compile(r'\\(["\\\]])')

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STAMP = re.compile(
    rf"({'|'.join(MONTHS)}) +([0-9]{{1,2}}) (?:([0-9]{{4}}) )?"
    r"([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?(?: (UTC|GMT|Z))?:? "
)
HOST = re.compile(r'([^\s\[\]{}"]{1,255}) ')
# `sshd[4711]: `; a colon inside, as of an image and its version, is part of the name. What has
# quotes or braces is JSON.
TAG = re.compile(
    r'((?:[^\s\[\]:{}"]|:(?=[^\s:])){1,255})(?:\[([^\]\s]{0,64})\])?:(?: |$)', re.MULTILINE
)


class _Header(NamedTuple):
    """What comes before the message."""

    time: float
    service: str
    fields: dict[str, Any]
    message: str


class Syslog:
    """The datagrams of syslog: each begins with its priority."""

    name = "syslog"

    def owns(self, datagram: bytes) -> bool:
        return datagram[:1] == b"<"

    def decoding(self, datagrams: Sequence[bytes], now: float, into: Decoded) -> Iterator[None]:
        looked_into = 0
        for index, datagram in enumerate(datagrams):
            looked_into += len(datagram) + DATAGRAM_COST_BYTES
            if looked_into > STEP_BYTES and index:
                looked_into = len(datagram) + DATAGRAM_COST_BYTES
                yield
            decode_message(index, datagram, now, into)


def decode_message(index: int, message: bytes, now: float, into: Decoded) -> None:
    """Take one message received at `now`, or refuse it by its index."""
    text = cleaned(message.rstrip(b"\x00\r\n").decode("utf-8", "replace"))
    priority = PRIORITY.match(text)
    if priority is None or int(priority[1]) > HIGHEST_PRIORITY:
        sentence = f"priority: expected <0> to <{HIGHEST_PRIORITY}>, got {text[:20]!r}"
        into.refuse(index, Refused(Code.INVALID_FIELD, sentence))
        return
    facility, severity = divmod(int(priority[1]), 8)
    rest = text[priority.end() :]
    header = _rfc_5424(rest, now) or _rfc_3164(rest, now)
    said = Said(
        time=header.time,
        service=header.service,
        level=LEVELS_BY_SEVERITY[severity],
        fields={"facility": FACILITIES[facility], **header.fields},
    )
    take_record(index, header.message, said, now, into)


def _rfc_5424(text: str, now: float) -> _Header | None:
    """Return the header of `1 TIME HOST APP PROCESS MESSAGE-ID DATA MESSAGE`, else None."""
    parts = text.split(" ", 6)
    if len(parts) < 7 or parts[0] != "1":
        return None
    _, stamp, host, app, process, message_id, rest = parts
    time = seconds_of(stamp)
    # A text that begins with `1 ` is otherwise as likely.
    if time is None and stamp != NIL:
        return None
    data, message = _structured(rest)
    fields = {"host": host, "process_id": process, "message_id": message_id}
    fields = {name: value for name, value in fields.items() if value != NIL}
    service = app if app != NIL else fields.get("host", "")
    message = message.removeprefix("\ufeff")
    return _Header(now if time is None else time, service, {**fields, **data}, message)


def _structured(text: str) -> tuple[dict[str, str], str]:
    """Return the structured data and what follows; what is malformed is part of the message."""
    if text == NIL or text.startswith(f"{NIL} "):
        return {}, text[2:]
    data: dict[str, str] = {}
    at = 0
    while element := ELEMENT.match(text, at):
        at = element.end()
        for name, value in PARAMETER.findall(element[2]):
            data[f"{element[1]}.{name}"] = ESCAPED.sub(r"\1", value)
    if at < len(text) and text[at] != " ":
        return {}, text
    return data, text[at + 1 :]


def _rfc_3164(text: str, now: float) -> _Header:
    """Return the header of `TIME HOST TAG[PID]: MESSAGE`, of which each may be missing."""
    fields: dict[str, Any] = {}
    time, rest = _stamped(text, now)
    tag = TAG.match(rest)
    if tag is None and rest is not text and (host := HOST.match(rest)):
        fields["host"], rest = host[1], rest[host.end() :]
        tag = TAG.match(rest)
    if tag is None:
        return _Header(time, fields.get("host", ""), fields, rest)
    if tag[2]:
        fields["process_id"] = tag[2]
    return _Header(time, tag[1], fields, rest[tag.end() :])


def _stamped(text: str, now: float) -> tuple[float, str]:
    """Return the time at the beginning of the text, and what follows; now and all without one."""
    if found := STAMP.match(text):
        return _nearest(found, now), text[found.end() :]
    stamp, space, rest = text.partition(" ")
    time = seconds_of(stamp) if space else None
    return (now, text) if time is None else (time, rest)


def _nearest(found: re.Match[str], now: float) -> float:
    """
    Return the Unix seconds of a time that may lack its year, and its zone.

    Without a zone it is of an unknown one: within a day it is taken to be now.
    """
    month, (day, year, hour, minute, second) = MONTHS.index(found[1]) + 1, found.groups()[1:6]
    this_year = datetime.fromtimestamp(now, UTC).year
    years = [int(year)] if year else [this_year - 1, this_year, this_year + 1]
    times = []
    for one in years:
        try:
            at = datetime(one, month, int(day), int(hour), int(minute), int(second), tzinfo=UTC)
        except ValueError:
            continue
        times.append(at.timestamp())
    if not times:
        return now
    time = min(times, key=lambda each: abs(each - now))
    return now if found[7] is None and abs(time - now) <= DAY_SECONDS else time
