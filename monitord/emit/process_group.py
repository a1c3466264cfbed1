"""Processes that were begun together: a server and its workers. Linux says when; others do not."""

from __future__ import annotations

import os


# Of /proc/PID/stat, counted from behind the name, which may hold anything: the state is the first.
START_TIME = 19


def begun_at() -> float | None:
    """Return when the group of this process began, in Unix seconds; None where nothing says so."""
    try:
        with open(f"/proc/{os.getpgrp()}/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[START_TIME])
        with open("/proc/stat", "rb") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith(b"btime "))
        return booted + ticks / os.sysconf("SC_CLK_TCK")
    except (AttributeError, OSError, ValueError, IndexError, StopIteration):
        return None
