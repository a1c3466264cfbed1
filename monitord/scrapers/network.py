"""What a failed connection means: refused, unreachable, not resolved, no TLS, too late."""

from __future__ import annotations

import errno
import socket
import ssl

from monitord.model import Reason, ScrapeError
from monitord.scrapers.text import one_line


_BY_ERRNO = {
    errno.ECONNREFUSED: (Reason.REFUSED, "nothing listens there"),
    errno.ENOENT: (Reason.UNREACHABLE, "there is no such socket"),
    errno.EACCES: (Reason.PERMISSION, "monitord's user may not open the socket"),
    errno.EHOSTUNREACH: (Reason.UNREACHABLE, "no route to the host"),
    errno.ENETUNREACH: (Reason.UNREACHABLE, "no route to the network"),
    errno.ETIMEDOUT: (Reason.UNREACHABLE, "the host does not answer"),
    errno.ECONNRESET: (Reason.PROTOCOL, "the server closed the connection"),
    errno.EPIPE: (Reason.PROTOCOL, "the server closed the connection"),
    errno.ECONNABORTED: (Reason.PROTOCOL, "the server closed the connection"),
}


def connection_failure(error: OSError, where: str) -> ScrapeError:
    """Return the failure to connect to, or to stay connected with, `where` (host and port)."""
    if isinstance(error, socket.gaierror):
        return ScrapeError(Reason.UNREACHABLE, f"{where}: the name cannot be resolved")
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = one_line(error.verify_message)
        return ScrapeError(Reason.PROTOCOL, f"{where}: its certificate is not trusted: {reason}")
    if isinstance(error, ssl.SSLError):
        return ScrapeError(Reason.PROTOCOL, f"{where}: no TLS: {one_line(error.reason)}")
    reason, text = _BY_ERRNO.get(_number(error), (Reason.UNREACHABLE, one_line(error)))
    return ScrapeError(reason, f"{where}: {text}")


def _number(error: OSError) -> int:
    """
    Return the error's number.

    A name with several addresses gives one error that tells the numbers in its text only.
    """
    if error.errno is not None:
        return error.errno
    if isinstance(error, ConnectionResetError):
        return errno.ECONNRESET
    found = (number for number in _BY_ERRNO if f"[Errno {number}]" in str(error))
    return next(found, 0)
