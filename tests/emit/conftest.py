"""A receiver for each test, and an emitter that sends to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitord.emit import Emitter
from tests.emit.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """
    A receiver on a port of its own.
    """
    with receiving() as running:
        yield running


@pytest.fixture
def emitter(receiver: Receiver) -> Iterator[Emitter]:
    """
    An emitter of the service "shop" that sends to the receiver.
    """
    own = Emitter(receiver.address, service="shop", flush_every=0.01)
    yield own
    own.close()
