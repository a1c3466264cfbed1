"""This very machine, read without ever making the event loop wait."""

import asyncio
import os
import sys
import threading
import time

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from monitord.model import Reason
from monitord.scrapers.host import HostScraper
from monitord.scrapers.host.aside import Aside, StillRunning
from monitord.scrapers.host.cpu import utilization
from monitord.scrapers.host.disks import Disks
from monitord.settings import HostTarget


Values = Callable[..., dict[str, float]]

FIELDS = ("user", "nice", "system", "idle", "iowait", "guest")


@contextmanager
def sleeps_noticed() -> Iterator[list[str]]:
    """
    Collect the names of the threads in which `time.sleep` is called, this one and new ones.
    """
    found: list[str] = []

    def profile(_: object, event: str, called: object) -> None:
        if event == "c_call" and called is time.sleep:
            found.append(threading.current_thread().name)

    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def test_numbers_of_the_machine(values: Values):
    """
    The first scrape tells what is there; the second also what happened in between.
    """
    scraper = HostScraper(HostTarget(disks=("/",)))

    first = await scraper.scrape()
    await asyncio.sleep(0.3)  # the kernel counts in hundredths of a second
    second = await scraper.scrape()

    before, after = values(first.metrics), values(second.metrics)
    assert first.problems == second.problems == []
    assert "system.cpu.utilization_ratio" not in before
    assert 0 <= after["system.cpu.utilization_ratio"] <= 1
    assert after["system.cpu.count"] == os.cpu_count()
    cores = [name for name in after if name.startswith("system.cpu.core.utilization_ratio")]
    assert len(cores) == os.cpu_count()
    used, total = after["system.memory.used_bytes"], after["system.memory.total_bytes"]
    assert used + after["system.memory.available_bytes"] == total
    assert after["system.memory.utilization_ratio"] == pytest.approx(used / total)
    assert 0 < after["system.disk.utilization_ratio /"] <= 1
    assert after["system.disk.used_bytes /"] <= after["system.disk.total_bytes /"]
    assert after["system.load_1m"] >= 0


async def test_io_is_counted_per_interval(values: Values):
    """
    Bytes of disks and networks are those since the scrape before, never a lifetime total.
    """
    scraper = HostScraper(HostTarget())

    first = values((await scraper.scrape()).metrics)
    second = await scraper.scrape()

    moving = [m for m in second.metrics if m.name.endswith(("read_bytes", "received_bytes"))]
    lifetime = psutil.disk_io_counters(perdisk=False)
    assert not any(name.startswith(("system.disk.read", "system.network")) for name in first)
    assert all(metric.kind == "counter" and metric.value >= 0 for metric in moving)
    assert not any(m.attributes.get("interface") == "lo" for m in moving)
    assert lifetime is None or all(metric.value < lifetime.read_bytes for metric in moving)


async def test_nothing_waits_for_the_cpu():
    """
    No thread sleeps to measure the CPU: two readings are compared, one pace apart.
    """
    scraper = HostScraper(HostTarget())

    with sleeps_noticed() as sleeps:
        await scraper.scrape()
        found = await scraper.scrape()
    with sleeps_noticed() as noticed:
        psutil.cpu_percent(interval=0.001)  # the fault, as this test would notice it

    assert any(metric.name == "system.cpu.count" for metric in found.metrics)
    assert sleeps == []
    assert noticed == [threading.current_thread().name]


@pytest.mark.parametrize(
    ("before", "now", "ratio"),
    [
        ((0, 0, 0, 0, 0, 0), (30, 10, 10, 40, 10, 0), 0.5),
        # a guest's time is in user already
        ((0, 0, 0, 0, 0, 0), (50, 0, 0, 50, 0, 50), 0.5),
        # the kernel may take back some iowait
        ((0, 0, 0, 0, 10, 0), (5, 0, 0, 5, 8, 0), 0.5),
        ((1, 1, 1, 1, 1, 0), (1, 1, 1, 1, 1, 0), None),
        ((0, 0, 0, 0, 0, 0), (0, 0, 0, 100, 0, 0), 0.0),
    ],
)
def test_utilization(before: tuple[float, ...], now: tuple[float, ...], ratio: float | None):
    """
    Busy is what was neither idle nor waiting for a disk; without time passed it is unknown.
    """
    found = utilization(before, now, FIELDS)

    assert found == (None if ratio is None else pytest.approx(ratio))


async def test_a_mount_point_that_is_not_there(tmp_path: Path, values: Values):
    """
    A missing folder is one problem, with what mends it; the others are read.
    """
    missing = str(tmp_path / "missing")
    scraper = HostScraper(HostTarget(disks=(missing, str(tmp_path))))

    found = await scraper.scrape()

    (problem,) = found.problems
    assert problem.what == f"disk {missing}"
    assert problem.reason is Reason.MISSING
    assert "targets.host.disks" in problem.remedy
    assert f"system.disk.total_bytes {tmp_path}" in values(found.metrics)


async def test_one_disk_after_the_other_is_not_waited_for(tmp_path: Path):
    """
    Every mount point is asked at once, and each has a deadline of its own.
    """
    disks = Disks([str(tmp_path), "/"], deadline=5.0)

    found = await disks.read()

    places = {metric.attributes["mountpoint"] for metric in found.metrics}
    assert places == {str(tmp_path), "/"}


async def test_a_call_that_hangs_costs_one_thread():
    """
    While a call has not come back no second one is made; once it has, the next one works.
    """
    aside: Aside[str] = Aside("disk /dead")
    release = threading.Event()

    def hanging() -> str:
        release.wait()
        return "late"

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await aside.run(hanging)
    with pytest.raises(StillRunning):
        await aside.run(hanging)
    stuck = [thread for thread in threading.enumerate() if thread.name == "disk /dead"]
    release.set()
    stuck[0].join()
    await asyncio.sleep(0)  # the loop hears of it
    again = await aside.run(lambda: "again")

    assert len(stuck) == 1
    assert stuck[0].daemon  # it does not hold up the end of the process
    assert again == "again"


async def test_calls_may_follow_each_other_at_once():
    """
    A call that has come back is over, whatever its thread still has to do.
    """
    aside: Aside[int] = Aside("counting")

    found = [await aside.run(lambda: 1) for _ in range(500)]

    assert sum(found) == 500


async def test_a_call_that_fails_fails_its_caller():
    """
    What a call raises is raised where it is awaited.
    """
    aside: Aside[None] = Aside("failing")

    def failing() -> None:
        raise PermissionError(13, "no")

    with pytest.raises(PermissionError):
        await aside.run(failing)


async def test_a_machine_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Where /proc cannot be read each question is a problem of its own, and the disks are read.
    """
    monkeypatch.setattr(psutil, "PROCFS_PATH", "/proc")
    scraper = HostScraper(HostTarget(proc=tmp_path, cgroup=tmp_path, disks=(str(tmp_path),)))

    found = await scraper.scrape()

    failed = {problem.what for problem in found.problems}
    assert {"cpu", "memory", "network"} <= failed
    assert {metric.attributes.get("mountpoint") for metric in found.metrics} >= {str(tmp_path)}
