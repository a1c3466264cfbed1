"""Limits of control groups, read from captured trees."""

from collections.abc import Callable
from pathlib import Path

import pytest

from monitord.scrapers.host.container import ContainerCpu, ContainerMemory


Values = Callable[..., dict[str, float]]

DATA = Path(__file__).parents[1] / "data" / "cgroup"
MIB = 1024 * 1024


def planted(name: str, folder: Path) -> tuple[Path, Path]:
    """Write a captured tree out; return its /proc and its /sys/fs/cgroup."""
    (folder / "proc").mkdir()
    (folder / "sys").mkdir()
    sections = (DATA / f"{name}.txt").read_text().split("-- ")[1:]
    for section in sections:
        path, _, text = section.partition(" --\n")
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "proc", folder / "sys"


MEMORY = {
    "v2-docker": (256 * MIB, 80 * MIB),
    "v2-systemd-nested": (512 * MIB, 60 * MIB),
    "v1-docker": (512 * MIB, 100 * MIB),
    "v1-nested": (128 * MIB, 64 * MIB),
    "hybrid": (384 * MIB, 180 * MIB),
}
CPU = {"v2-docker": 0.5, "v2-systemd-nested": 1.5, "v1-docker": 2.0, "v1-nested": 0.25}
TREES = sorted(file.stem for file in DATA.glob("*.txt"))


@pytest.mark.parametrize("tree", TREES)
def test_memory(tree: str, tmp_path: Path, values: Values):
    """
    The smallest limit on the way up, and what is used of it; nothing where there is no limit.
    """
    question = ContainerMemory(*planted(tree, tmp_path))

    found = values(question.read(1.0))

    if tree not in MEMORY:
        assert found == {}
        return
    limit, used = MEMORY[tree]
    assert found == {
        "container.memory.limit_bytes": limit,
        "container.memory.used_bytes": used,
        "container.memory.utilization_ratio": used / limit,
    }


@pytest.mark.parametrize("tree", TREES)
def test_cpu_limit(tree: str, tmp_path: Path, values: Values):
    """
    The smallest quota on the way up, in cores; nothing where there is none.
    """
    question = ContainerCpu(*planted(tree, tmp_path))

    found = values(question.read(1.0))

    assert found == ({"container.cpu.limit_cores": CPU[tree]} if tree in CPU else {})


@pytest.mark.parametrize(
    ("tree", "files"),
    [
        ("v2-docker", {"cpu.stat": "usage_usec 11000000\nthrottled_usec 3250000\n"}),
        (
            "v1-docker",
            {
                "cpu,cpuacct/cpuacct.usage": "24000000000\n",
                "cpu,cpuacct/cpu.stat": "throttled_time 1750000000\n",
            },
        ),
    ],
)
def test_cpu_use_of_the_interval(tree: str, files: dict[str, str], tmp_path: Path, values: Values):
    """
    Use is a share of the quota, and throttling a time, since the reading before.
    """
    proc, root = planted(tree, tmp_path)
    question = ContainerCpu(proc, root)
    list(question.read(100.0))
    for name, text in files.items():
        (root / name).write_text(text)

    found = values(question.read(104.0))

    # 1 s of 0.5 cores, or 4 s of 2, in 4 s.
    assert found["container.cpu.utilization_ratio"] == pytest.approx(0.5)
    assert found["container.cpu.throttled_ms"] == pytest.approx(250)
