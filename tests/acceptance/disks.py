"""File systems of their own, small enough to be full, where the tests may mount them."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess

from collections.abc import Iterator
from pathlib import Path


BALLOON = "balloon of somebody else"
PIECE_BYTES = 1024 * 1024


@contextlib.contextmanager
def small_disk(point: Path, size_mib: int) -> Iterator[bool]:
    """
    Mount a file system of so many MiB at this folder; say whether that was done.

    Where it cannot (no right to mount), and for 0, the folder is on the disk all others are on.
    """
    point.mkdir(parents=True)
    mounted = size_mib > 0 and mount(point, size_mib)
    try:
        yield mounted
    finally:
        if mounted:
            # Lazily: a process that still ends may hold a file for a moment.
            subprocess.run(["umount", "--lazy", str(point)], check=True)


def mount(point: Path, size_mib: int) -> bool:
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(point)]
    try:
        return subprocess.run(mounting, capture_output=True).returncode == 0
    except OSError:
        return False


def fill(point: Path) -> Path:
    """Write a file until the file system has no room at all; return it."""
    balloon = point / BALLOON
    descriptor = os.open(balloon, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        for size in (PIECE_BYTES, 4096, 1):
            _write_until_full(descriptor, size)
    finally:
        os.close(descriptor)
    return balloon


def _write_until_full(descriptor: int, size: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(size))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
