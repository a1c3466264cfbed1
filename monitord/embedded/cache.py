"""Copies of server binaries for an account that cannot enter the folder they were installed in."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile

from pathlib import Path

from monitord.errors import EmbeddedError


PLACES = (Path("/var/cache"), Path("/var/tmp"))


def runnable_copy(package: Path, places: tuple[Path, ...] = PLACES) -> Path:
    """
    Return a copy of the package folder that everybody can read and only we can write.

    Its `<name>.libs` folder goes with it, as a sibling: the programs look for their libraries
    there. A copy is made once per installed version. Raises EmbeddedError: no place takes it.
    """
    for place in places:
        target = place / f"monitord-{package.name}-{_fingerprint(package)}"
        if not (place.is_dir() and os.access(place, os.W_OK)):
            continue
        if not target.exists():
            _copy(package, target)
        if _is_ours(target):
            return target / package.name
    raise EmbeddedError(
        f"{package}: another user has to run the programs in there but cannot enter it, "
        f"and no copy could be made in {' or '.join(map(str, places))}"
    )


def _copy(package: Path, target: Path) -> None:
    """
    Copy beside the target and rename, so that a killed copy is never taken for a whole one.
    """
    half = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for name in (package.name, f"{package.name}.libs"):
            source = package.parent / name
            if source.is_dir():
                shutil.copytree(source, half / name, ignore=shutil.ignore_patterns("__pycache__"))
        _open_for_reading(half)
        half.rename(target)
    except OSError as error:
        shutil.rmtree(half, ignore_errors=True)
        if not target.exists():  # another monitord may have been faster
            raise EmbeddedError(f"{target}: cannot copy the server's programs: {error}") from error


def _open_for_reading(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(0o755 if executable else 0o644)


def _is_ours(folder: Path) -> bool:
    """Anybody may make a folder in /var/tmp; run nothing that somebody else may have put there."""
    info = folder.lstat()
    return (
        stat.S_ISDIR(info.st_mode)
        and info.st_uid == os.geteuid()
        and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    )


def _fingerprint(package: Path) -> str:
    """Name the installed version by the sizes and times of its files."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            info = path.stat()
            digest.update(
                f"{path.relative_to(package)} {info.st_size} {info.st_mtime_ns}\n".encode()
            )
    return digest.hexdigest()[:12]
