"""How full the disks of the settings are."""

from __future__ import annotations

import asyncio

from collections.abc import Sequence

import psutil

from monitord.model import Metric, Problem, Reason, Scrape
from monitord.scrapers.host.aside import Aside, StillRunning
from monitord.scrapers.samples import gauge
from monitord.scrapers.text import one_line


class Disks:
    """Asks for each mount point by itself: one that hangs hides neither the others nor the CPU."""

    def __init__(self, mountpoints: Sequence[str], deadline: float) -> None:
        self._deadline = deadline
        self._asides: dict[str, Aside[list[Metric]]] = {
            mountpoint: Aside(f"disk {mountpoint}") for mountpoint in mountpoints
        }

    async def read(self) -> Scrape:
        """Return every mount point's numbers, and a problem for each that gave none."""
        answers = await asyncio.gather(*map(self._read, self._asides))
        return Scrape(
            [metric for answer in answers for metric in answer.metrics],
            [problem for answer in answers for problem in answer.problems],
        )

    async def _read(self, mountpoint: str) -> Scrape:
        try:
            async with asyncio.timeout(self._deadline):
                return Scrape(await self._asides[mountpoint].run(lambda: space(mountpoint)))
        except (TimeoutError, StillRunning):
            detail = "the file system does not answer"
            return Scrape((), [Problem(f"disk {mountpoint}", Reason.TIMEOUT, detail)])
        except OSError as error:
            return Scrape((), [_problem(mountpoint, error)])


def space(mountpoint: str) -> list[Metric]:
    """Return one file system's size. Blocks as long as the file system does. Raises OSError."""
    usage = psutil.disk_usage(mountpoint)
    attributes = {"mountpoint": mountpoint}
    return [
        gauge("system.disk.total_bytes", usage.total, "By", **attributes),
        gauge("system.disk.used_bytes", usage.used, "By", **attributes),
        gauge("system.disk.utilization_ratio", usage.percent / 100, **attributes),
    ]


def _problem(mountpoint: str, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        return Problem(
            f"disk {mountpoint}",
            Reason.MISSING,
            "there is no such folder",
            f"mount it, or take {mountpoint} out of targets.host.disks",
        )
    reason = Reason.PERMISSION if isinstance(error, PermissionError) else Reason.ERROR
    return Problem(f"disk {mountpoint}", reason, one_line(error.strerror or error))
