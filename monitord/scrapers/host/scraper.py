"""The machine, asked one question after the other; one that fails costs its own numbers only."""

from __future__ import annotations

import time

from collections.abc import Callable
from pathlib import Path

import psutil

from monitord.model import Metric, Problem, Reason, Scrape, ScrapeError
from monitord.scrapers.host.aside import Aside, StillRunning
from monitord.scrapers.host.container import ContainerCpu, ContainerMemory
from monitord.scrapers.host.cpu import Cpu
from monitord.scrapers.host.disk_io import DiskIo
from monitord.scrapers.host.disks import Disks
from monitord.scrapers.host.load import Load
from monitord.scrapers.host.memory import Memory
from monitord.scrapers.host.network import Network
from monitord.scrapers.host.question import Question
from monitord.scrapers.text import one_line
from monitord.settings import HostTarget


def questions(host: HostTarget) -> tuple[Question, ...]:
    """Return every question, in the order they are asked. A new one is a line here."""
    return (
        Cpu(),
        Load(),
        Memory(),
        DiskIo(),
        Network(),
        ContainerMemory(host.proc, host.cgroup),
        ContainerCpu(host.proc, host.cgroup),
    )


class HostScraper:
    """Reads the kernel's files in one thread, and each disk in a thread of its own."""

    def __init__(self, host: HostTarget, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._questions = questions(host)
        self._disks = Disks(host.disks, deadline=host.timeout / 2)
        self._aside: Aside[Scrape] = Aside("host")
        self._monotonic = monotonic
        if host.proc != Path("/proc"):
            psutil.PROCFS_PATH = str(host.proc)

    async def scrape(self) -> Scrape:
        """Return the machine's numbers. Raises ScrapeError: the kernel's files do not answer."""
        try:
            kernel = await self._aside.run(self._ask)
        except StillRunning:
            raise ScrapeError(Reason.TIMEOUT, "the kernel's files do not answer") from None
        disks = await self._disks.read()
        return Scrape([*kernel.metrics, *disks.metrics], [*kernel.problems, *disks.problems])

    async def close(self) -> None:
        """Nothing is held open."""

    def _ask(self) -> Scrape:
        at = self._monotonic()
        metrics: list[Metric] = []
        problems: list[Problem] = []
        for question in self._questions:
            try:
                metrics += question.read(at)
            except Exception as error:  # noqa: BLE001 - odd kernels and sandboxes fail in odd ways
                problems.append(_problem(question.what, error))
        return Scrape(metrics, problems)


def _problem(what: str, error: Exception) -> Problem:
    if isinstance(error, PermissionError | psutil.AccessDenied):
        return Problem(what, Reason.PERMISSION, one_line(error))
    if isinstance(error, FileNotFoundError):
        return Problem(what, Reason.MISSING, one_line(error))
    return Problem(what, Reason.ERROR, one_line(f"{type(error).__name__}: {error}"))
