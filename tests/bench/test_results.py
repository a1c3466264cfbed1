"""The tables of a run: nothing that was measured, missed or never came to its end is left out."""

from __future__ import annotations

import re
import subprocess
import sys

from pathlib import Path

import pytest

from monitord.embedded import EmbeddedPostgres
from tests.bench import __main__ as bench
from tests.bench.results import Results, as_markdown, load, save, this_machine
from tests.bench.table import Row, crashed, in_markdown, render


ROOT = Path(__file__).parents[2]
ROWS = [
    Row("sent", 150_000.4, "events/s", ">= 150,000", True),
    Row("lost | twice", 2, "events", "0", False),
    Row("cpu", 4.125, "us", "", None),
    Row("behind", None, "s (of 0)", "< 5", False),
]


def test_text_says_figure_limit_and_verdict() -> None:
    """
    Each line has what it is about, the figure with its unit, the limit, and whether it was kept.
    """
    lines = [" ".join(line.split()) for line in render(ROWS).splitlines()[2:]]

    assert lines == [
        "sent 150,000 events/s >= 150,000 ok",
        "lost | twice 2 events 0 MISSED",
        "cpu 4.12 us",
        "behind nothing s (of 0) < 5 MISSED",
    ]


def test_markdown_is_a_table_whatever_a_cell_holds() -> None:
    """
    A bar in a text does not end its cell, and every row has four of them.
    """
    assert in_markdown(ROWS).splitlines() == [
        "| what | measured | must reach | met |",
        "| --- | --- | --- | --- |",
        "| sent | 150,000 events/s | >= 150,000 | yes |",
        r"| lost \| twice | 2 events | 0 | **no** |",
        "| cpu | 4.12 us |  |  |",
        "| behind | nothing s (of 0) | < 5 | **no** |",
    ]


def test_results_survive_being_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What is read again shows the same table, the machine, and which sizes were not the promised.
    """
    monkeypatch.setenv("MONITORD_BENCH_KILLS", "3")
    results = Results(this_machine("16.4"), ROWS)
    save(results, tmp_path / "results.json")

    shown = as_markdown(load(tmp_path / "results.json"))

    assert shown == as_markdown(results)
    assert "PostgreSQL 16.4" in shown
    assert "`MONITORD_BENCH_KILLS=3`" in shown


def test_crash_is_a_row_that_missed() -> None:
    """
    A benchmark that did not come to its end is named, with the first line of why.
    """
    row = crashed("udp", RuntimeError("monitord was not ready:\nmore"))

    assert row.good is False
    assert "udp" in row.what
    assert "RuntimeError: monitord was not ready:" in render([row])
    assert crashed("udp", TimeoutError()).unit == "(TimeoutError)"


async def test_others_go_on_after_a_crash(
    postgres_server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A crash costs one benchmark its rows, and its database does not stay behind.
    """

    async def breaks(_folder: Path, _dsn: str) -> list[Row]:
        raise ValueError("no figure")

    monkeypatch.setitem(bench.ON_STORE, "udp", breaks)
    [row] = await bench.run_to_its_end("udp", tmp_path / "udp", postgres_server)

    assert (row.what, row.good) == ("udp: crashed", False)
    assert row.unit.startswith("(ValueError: no figure, test_results.py:")
    async with bench.database(postgres_server, "bench_udp"):
        pass


def test_unknown_benchmark_is_said() -> None:
    """
    A name that is none is a mistake, told with those there are.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "upd"], cwd=ROOT, capture_output=True, check=False
    )

    assert done.returncode == 2
    assert f"unknown: upd; known are {', '.join(bench.NAMES)}" in done.stdout.decode()
    assert bench.NAMES[:2] == ("emit", "udp")


def test_every_benchmark_is_run() -> None:
    """
    Whatever has a `run` is run when no name is given.
    """
    paths = (ROOT / "tests" / "bench").glob("*.py")
    runs = [
        path.stem for path in paths if re.search(r"^(async )?def run\(", path.read_text(), re.M)
    ]

    assert sorted(runs) == sorted(["__main__", *bench.NAMES])
