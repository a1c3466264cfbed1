"""What the spool's tests share: batches, and a drain of everything that waits."""

import os

from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.intake.spool.folder import FileSource
from monitord.intake.spool.segment import SEGMENT_HEADER_BYTES, parse_header
from monitord.intake.spool.spool import Spool, SpoolLimits
from monitord.intake.spool.summary import Contents, find
from monitord.model import Batch, Frame, Log


# Small segments, and a free-space floor that a full disk of the machine does not reach.
SMALL = SpoolLimits(segment_bytes=4_000, free_bytes=0)


@pytest.fixture
def small() -> SpoolLimits:
    """Limits under which a few frames fill a segment."""
    return SMALL


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Make a batch whose log line says `text`."""

    def make(text: object = "", events: int = 1, received_at: float = 1.0) -> Batch:
        log = Log(time=received_at, service="shop", level="INFO", message=str(text))
        return Batch(received_at, logs=[log] * events, size_bytes=170 * events)

    return make


@pytest.fixture
def summary_of() -> Callable[[Path], tuple[Contents, int] | None]:
    """Read a segment's summary, and where its records end."""

    def read(path: Path) -> tuple[Contents, int] | None:
        with path.open("rb") as file:
            source = FileSource(file.fileno())
            header = parse_header(source.read(0, SEGMENT_HEADER_BYTES))
            return find(source, header) if header else None

    return read


@pytest.fixture
def unsealed(
    summary_of: Callable[[Path], tuple[Contents, int] | None],
) -> Callable[[Path], None]:
    """Take a segment's summary away: so does a kill leave the one that grew."""

    def cut(path: Path) -> None:
        found = summary_of(path)
        assert found is not None
        os.truncate(path, found[1])

    return cut


@pytest.fixture
def drained() -> Callable[..., object]:
    """Take everything that waits, in order, without waiting for more."""

    async def drain(spool: Spool, done: bool = True) -> list[Frame]:
        frames: list[Frame] = []
        while spool.backlog.frames > 0:
            some = await spool.next(1_000, 4 << 20)
            if not done:
                return list(some)
            frames += some
            spool.done(some)
        return frames

    return drain
