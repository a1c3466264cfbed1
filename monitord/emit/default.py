"""The emitter of a process that needs only one."""

from __future__ import annotations

import functools

from monitord.emit.emitter import Emitter


@functools.cache
def default() -> Emitter:
    """Return the process's emitter, made of the environment at the first call."""
    return Emitter()


def configure(
    address: str | None = None,
    service: str | None = None,
    token: str | None = None,
    version: str | None = None,
    spans: float | None = None,
) -> Emitter:
    """
    Say where the default emitter sends and under which name; may be called at any time.

    Raises ValueError: `address` is given and is none.
    """
    emitter = default()
    emitter.configure(address, service, token, version, spans)
    return emitter
