"""What a run measured and on what machine: kept in ``results.json``, shown in Markdown."""

from __future__ import annotations

import os
import platform
import time

from pathlib import Path

import msgspec

from tests.bench.sizes import PREFIX
from tests.bench.table import Row, in_markdown


PATH = Path(__file__).parent / "results.json"


class Machine(msgspec.Struct, frozen=True):
    """Where and when it was measured; `sizes` are those that were not the promised ones."""

    at: str
    cpu: str
    cores: int | None
    system: str
    python: str
    postgres: str
    sizes: dict[str, str]


class Results(msgspec.Struct, frozen=True):
    """The rows of one run, in their order."""

    machine: Machine
    rows: list[Row]


def this_machine(postgres: str) -> Machine:
    return Machine(
        at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        cpu=cpu_model(Path("/proc/cpuinfo")),
        cores=os.cpu_count(),
        system=platform.platform(),
        python=platform.python_version(),
        postgres=postgres,
        sizes={name: text for name, text in os.environ.items() if name.startswith(PREFIX)},
    )


def cpu_model(path: Path) -> str:
    """Return the name of the first processor; its architecture where none is told."""
    if path.exists():
        for line in path.read_text().splitlines():
            name, _, model = line.partition(":")
            if name.strip() == "model name":
                return model.strip()
    return platform.machine()


def save(results: Results, path: Path = PATH) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")


def load(path: Path = PATH) -> Results:
    """
    Return what the last run kept.

    Raises OSError: there is none. msgspec.DecodeError: it is of another version.
    """
    return msgspec.json.decode(path.read_bytes(), type=Results)


def as_markdown(results: Results) -> str:
    """Return the table with a line about the machine below it."""
    machine = results.machine
    said = (
        f"{machine.cpu}, {machine.cores} cores, {machine.system};"
        f" Python {machine.python}, PostgreSQL {machine.postgres}; {machine.at[:10]}."
    )
    if machine.sizes:
        sizes = ", ".join(f"`{name}={text}`" for name, text in sorted(machine.sizes.items()))
        said += f" **Not the promised sizes:** {sizes}."
    return f"{in_markdown(results.rows)}\n\n{said}"
