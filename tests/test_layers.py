"""Imports point downward only: read from the sources, without importing them."""

from __future__ import annotations

import ast
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

import monitord


PACKAGE = Path(monitord.__file__).parent

# Lowest first; a unit is a module or a package directly below monitord. A unit imports from lower
# lines only, never from its own line. The first figure is the layer of CONTRIBUTING.md.
LAYERS: list[tuple[int, set[str]]] = [
    (0, {"errors", "model"}),
    (0, {"assets", "backoff", "histogram", "telemetry"}),
    (0, {"latency"}),
    (1, {"settings"}),
    (1, {"listen", "logs"}),
    (1, {"settings_file"}),
    (2, {"intake"}),
    (3, {"alerts", "embedded", "ingest", "notify", "scrapers", "store", "triage"}),
    (4, {"http", "schedule"}),
    (5, {"app"}),
    (5, {"service"}),
    (5, {"checks", "demo", "migration", "spool_commands"}),
    (5, {"cli"}),
    (5, {"__main__"}),
]
RANKS = {unit: rank for rank, (_, units) in enumerate(LAYERS) for unit in units}
ALONE = "emit"


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the path of every module of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name: str, path: Path) -> Iterator[str]:
    """Yield the dotted name of everything a module imports, wherever in it the import stands."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*base, node.module or ""]).strip(".") if node.level else node.module
            assert source is not None
            yield from (f"{source}.{alias.name}" for alias in node.names)


def unit(name: str) -> str:
    """Return the part of monitord a dotted name belongs to; empty for the package itself."""
    parts = name.split(".")
    return parts[1] if parts[0] == "monitord" and len(parts) > 1 else ""


def imported_units(name: str, path: Path) -> set[str]:
    units = {unit(target) for target in imports(name, path)}
    return units - {"", unit(name), "__version__"}


MODULES = dict(modules())


def test_every_unit_has_its_layer() -> None:
    """
    A new module or package is given a place before it is used.
    """
    units = {unit(name) for name in MODULES} - {""}

    assert units - {ALONE} <= RANKS.keys()


@pytest.mark.parametrize("name", [n for n in MODULES if unit(n) not in {"", ALONE}])
def test_imports_point_downward(name: str) -> None:
    """
    A module imports from lower layers only; siblings never import one another.
    """
    allowed = {other for other, rank in RANKS.items() if rank < RANKS[unit(name)]}
    if unit(name) == "demo":
        allowed.add(ALONE)  # the sample application uses it as any application would

    assert imported_units(name, MODULES[name]) <= allowed


@pytest.mark.parametrize("name", [n for n in MODULES if unit(n) in {"", ALONE}])
def test_emit_stands_alone(name: str) -> None:
    """
    The application's side, and the package around it, need the standard library only.
    """
    for target in imports(name, MODULES[name]):
        top = target.split(".")[0]
        assert top in sys.stdlib_module_names or unit(target) == ALONE, target


def test_no_cycles_within_a_package() -> None:
    """
    Modules of one package do not import one another in a circle.
    """
    graph = {
        name: {owner(target) for target in imports(name, path)} - {name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for target in graph.get(name, ()):
                visit(target, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def owner(target: str) -> str:
    """Return the module that `from package import name` reads: the submodule, else the package."""
    return target if target in MODULES else target.rpartition(".")[0]


def test_reader_sees_relative_and_nested_imports(tmp_path: Path) -> None:
    """
    The reading itself: imports inside functions and relative ones are not overlooked.
    """
    path = tmp_path / "b.py"
    path.write_text(
        "from . import c\nfrom ..store import d\n\ndef f():\n    import monitord.http\n"
    )

    assert set(imports("monitord.a.b", path)) == {
        "monitord.a.c",
        "monitord.store.d",
        "monitord.http",
    }
