"""Bearer tokens: kept as digests, compared in constant time."""

import hashlib
import hmac

from collections.abc import Iterable

from aiohttp import hdrs
from multidict import CIMultiDictProxy

from monitord.settings import Secret


class TokenSet:
    """
    Tokens kept as digests of their bytes.

    Comparing digests takes the same time for every guess, and bytes never fail on non-ASCII text.
    """

    def __init__(self, tokens: Iterable[Secret]) -> None:
        self._digests = [_digest(token.reveal()) for token in tokens if token]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, token: object) -> bool:
        if not isinstance(token, str):
            return False
        digest = _digest(token)
        # Every entry is compared, so that the time tells nothing of which one it was.
        return any([hmac.compare_digest(digest, known) for known in self._digests])


def _digest(token: str) -> bytes:
    # aiohttp hands bytes that are no UTF-8 over as surrogates: give them back as they came.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def bearer(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the token of `Authorization: Bearer …`; None when it is absent or given twice."""
    values = headers.getall(hdrs.AUTHORIZATION, [])
    if len(values) != 1:
        return None
    scheme, _, token = values[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
