"""The last wait of a stop: what is safe in the spool is stored, whatever became of the rest."""

from __future__ import annotations

import asyncio
import errno
import os

from pathlib import Path

import pytest
import structlog

from monitord.app import build
from monitord.intake.spool.spool import Spool, open_spool
from monitord.model import Batch, Log
from monitord.service import drained
from monitord.settings import Settings
from monitord.store.pool import open_pool
from monitord.telemetry import Telemetry


NOW = 1_800_000_000.0


class FailingSync:
    """The system call at its border: the next syncs answer EIO, the others are real."""

    failures = 0

    def __call__(self, descriptor: int) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(descriptor)


def append(spool: Spool) -> None:
    spool.append(Batch(NOW, logs=[Log(time=NOW, service="shop", level="INFO", message="x")]))


async def test_a_failed_write_shortens_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The events before it are waited for until they are stored.
    """
    monkeypatch.setattr("monitord.service.DRAIN_SECONDS", 60.0)
    settings, telemetry, sync = Settings(state_dir=tmp_path), Telemetry(), FailingSync()
    nobody = "postgresql://127.0.0.1:1/none"
    async with (
        open_spool(tmp_path / "spool", 5, sync=sync) as spool,
        open_pool(settings.store, nobody, "instance", telemetry) as store,
    ):
        app = build(settings, spool, store, telemetry)
        append(spool)
        await spool.settled()
        sync.failures = 2
        append(spool)
        with structlog.testing.capture_logs() as logs:
            waiting = asyncio.create_task(drained(app))
            async with asyncio.timeout(20):
                while not spool.figures.lost_frames:  # noqa: ASYNC110 - nothing tells it
                    await asyncio.sleep(0.01)
            for _ in range(10):
                await asyncio.sleep(0)
            spool.done(await spool.next(10, 1 << 20))
            await waiting

        assert [one for one in logs if one["event"] == "monitord.left_in_spool"] == []
