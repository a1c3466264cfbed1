"""The two ways to the daemon: a datagram, or an HTTP POST. Nothing is kept or retried here."""

from __future__ import annotations

import encodings.idna  # noqa: F401 - imported here for the thread's sake
import errno
import http.client
import json
import socket
import time

from typing import Protocol

from monitord.emit.address import Address


# The sender's thread must not be the first to import anything: a process that forks meanwhile has
# a half-imported module in its child, and `idna`, which every name look-up needs, stays unknown
# there to the application as well.

# A name may come to mean another address (a container replaced), and UDP would never notice.
RESOLVE_EVERY_S = 60.0
HTTP_TIMEOUT_S = 2.0
# Below the 75 s after which the daemon closes an idle connection.
IDLE_S = 30.0
REPLY_BYTES = 65_536
PATH = "/v1/ingest"
# "Too slow" and "too much": the same body may be taken later, as after any 5xx.
PASSING = (408, 429)
# A daemon that asks for more is tried all the same: what waits here is in memory alone.
LONGEST_WAIT_S = 30.0


class Later(Exception):
    """
    The daemon is not there now, or did not say that the data was taken.

    `before` means that the datagram sent before it was not taken either; `wait_s` is for how long
    the daemon asked not to come again.
    """

    def __init__(self, before: bool = False, wait_s: float = 0.0) -> None:
        super().__init__()
        self.before = before
        self.wait_s = wait_s


class Refused(Exception):
    """The daemon will never take this data."""


class Carrier(Protocol):
    """Takes parcels to the daemon. Keeps none and tries none twice."""

    # Whether the daemon takes a parcel's key, by which it knows one that comes again.
    keyed: bool

    def send(self, data: bytes, key: str = "") -> int:
        """Send one parcel; return how many of its events were rejected. Raises Later, Refused."""
        ...

    def close(self) -> None: ...


class Datagrams:
    """One connected UDP socket, so that the kernel tells when nobody listens."""

    keyed = False

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._opened_at = 0.0
        self._failures = 0
        self._addresses = 1

    def send(self, data: bytes, key: str = "") -> int:
        """Send to the name's first address that listens, if that is known at once."""
        tried, self._addresses = 0, 1
        while True:
            fresh = self._socket is None
            try:
                return self._send(data)
            except Later:
                tried += 1
                if not fresh or tried >= self._addresses:
                    raise

    def _send(self, data: bytes) -> int:
        try:
            sock = self._open()
            sock.send(data)
        except BlockingIOError:
            raise Later from None
        except (OSError, UnicodeError) as error:  # a host name may not even be encodable
            number = getattr(error, "errno", None)
            if number == errno.EMSGSIZE:
                raise Refused from None
            self._fail()
            # The kernel reports a refusal on the call after the datagram it concerns.
            raise Later(before=number == errno.ECONNREFUSED) from None
        # On loopback the refusal is known at once, and asking keeps the datagram from being lost.
        if self._address.loopback and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._fail()
            raise Later
        return 0

    def close(self) -> None:
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def _fail(self) -> None:
        """Begin anew with the name's next address: `localhost` is `::1` and `127.0.0.1`."""
        self._failures += 1
        self.close()

    def _open(self) -> socket.socket:
        now = time.monotonic()
        if self._socket is not None and now - self._opened_at < RESOLVE_EVERY_S:
            return self._socket
        self.close()
        found = socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_DGRAM)
        self._addresses = len(found)
        family, kind, protocol, _, where = found[self._failures % len(found)]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.connect(where)
        except OSError:
            sock.close()
            raise
        self._socket, self._opened_at = sock, now
        return sock


class Posts:
    """One kept HTTP connection. `timeout_s` bounds each step of a POST."""

    keyed = True

    def __init__(self, address: Address, token: str | None) -> None:
        self.timeout_s = HTTP_TIMEOUT_S
        self._address = address
        self._headers = {"Content-Type": "application/x-ndjson"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def send(self, data: bytes, key: str = "") -> int:
        headers = {**self._headers, "Idempotency-Key": key} if key else self._headers
        try:
            connection = self._open()
            connection.request("POST", PATH, data, headers)
            reply = connection.getresponse()
            body = reply.read(REPLY_BYTES)
        except (OSError, UnicodeError, http.client.HTTPException):
            self.close()
            raise Later from None
        if not reply.isclosed():
            self.close()
        if reply.status in PASSING or reply.status >= 500:
            raise Later(wait_s=asked_wait_s(reply.getheader("Retry-After")))
        if not 200 <= reply.status < 300:
            raise Refused
        return _rejected(body)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        now = time.monotonic()
        if self._connection is None or now - self._used_at > IDLE_S:
            self.close()
            kind = (
                http.client.HTTPSConnection
                if self._address.scheme == "https"
                else http.client.HTTPConnection
            )
            self._connection = kind(self._address.host, self._address.port)
        self._connection.timeout = self.timeout_s
        if self._connection.sock is not None:
            self._connection.sock.settimeout(self.timeout_s)
        self._used_at = now
        return self._connection


def asked_wait_s(text: str | None) -> float:
    """Return the seconds of a `Retry-After`; 0 without one, or where it is no whole number."""
    digits = (text or "").strip()
    if not (digits.isascii() and digits.isdigit()):
        return 0.0
    # No number needs more, and Python refuses to read one of thousands of digits.
    return min(float(digits[:9]), LONGEST_WAIT_S)


def _rejected(body: bytes) -> int:
    try:
        return int(json.loads(body)["rejected"])
    except (ValueError, KeyError, TypeError):
        return 0
