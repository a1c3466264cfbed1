"""
Where the control group of this process lies, in version 1, version 2 and the mix of both.

Only files are read, below two given folders, so that captured trees can stand in for a machine.
What cannot be found or read is None: there is no cgroup on many machines.
"""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


# Two controllers may share a hierarchy, mounted under both names or either.
SHARED = {name: ("cpu,cpuacct", "cpuacct,cpu") for name in ("cpu", "cpuacct")}

_WHOLE = re.compile(r"-?[0-9]{1,20}")


class Group(Struct, frozen=True):
    """One controller's folder of this process, and the folder its hierarchy is mounted on."""

    folder: Path
    root: Path
    version: int

    def lineage(self) -> Iterator[Path]:
        """Yield the folder and all above it: every one of them may set a limit."""
        folder = self.folder
        while True:
            yield folder
            if folder == self.root or self.root not in folder.parents:
                return
            folder = folder.parent

    def number(self, file: str) -> int | None:
        """Return the one number in a file of the group; `max` and what is no number is None."""
        return whole(text(self.folder / file))

    def table(self, file: str) -> dict[str, int]:
        """Return a file of lines `key number`, such as memory.stat."""
        found = {}
        for line in (text(self.folder / file) or "").splitlines():
            key, _, value = line.partition(" ")
            if (number := whole(value)) is not None:
                found[key] = number
        return found


def locate(proc: Path, root: Path, controller: str) -> Group | None:
    """
    Return the group of this process for one controller (`memory`, `cpu`, `cpuacct`).

    A controller that has a hierarchy of its own (version 1) is not in the unified one.
    """
    paths = dict(_memberships(text(proc / "self" / "cgroup") or ""))
    if controller in paths:
        for name in (controller, *SHARED.get(controller, ())):
            if (mounted := root / name).is_dir():
                return Group(_folder(mounted, paths[controller]), mounted, 1)
    if "" in paths:
        for mounted in (root, root / "unified"):
            if (mounted / "cgroup.controllers").exists():
                return Group(_folder(mounted, paths[""]), mounted, 2)
    return None


def text(path: Path) -> str | None:
    """Return a small file's text; None when it is not there or not ours to read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None


def whole(value: str | None) -> int | None:
    """Return a whole number, which may be negative; None for anything else."""
    plain = (value or "").strip()
    return int(plain) if _WHOLE.fullmatch(plain) else None


def _memberships(lines: str) -> Iterator[tuple[str, str]]:
    """Yield (controller, path) of `4:cpu,cpuacct:/path`; the unified one has no name: `0::/`."""
    for line in lines.splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if number and colon:
            yield from ((controller, path) for controller in controllers.split(","))


def _folder(mounted: Path, path: str) -> Path:
    """
    Return the group's own folder.

    In a container without a cgroup namespace the path is the host's, and what is mounted is the
    group itself.
    """
    folder = mounted / path.lstrip("/")
    return folder if ".." not in folder.parts and folder.is_dir() else mounted
