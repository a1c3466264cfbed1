"""A private folder, short enough for a unix socket, where server and clients can both reach it."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from collections.abc import Iterator
from pathlib import Path

from monitord.embedded.account import Account, reaches
from monitord.errors import EmbeddedError


# A socket's whole path must be shorter than 108 bytes; `/monitord-xxxxxxxx/.s.PGSQL.5432` takes 32.
LONGEST_PARENT = 75
PREFIX = "monitord-"


def make_folder(record: Path, account: Account | None) -> Path:
    """
    Make the folder, open to *account* (None: ourselves) alone, and note its path in *record*.

    The folder noted before is removed: a monitord ended by kill -9 could not do it.
    Raises EmbeddedError: no temporary folder is short, writable and within the account's reach.
    """
    forget_folder(record)
    for parent in _parents(record.parent):
        if os.access(parent, os.W_OK) and reaches(account, parent):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            if account:
                os.chown(folder, account.uid, account.gid)
            record.write_text(f"{folder}\n")
            return folder
    raise EmbeddedError(
        "no folder for PostgreSQL's socket: none of TMPDIR, /tmp and /var/tmp is writable and "
        f"shorter than {LONGEST_PARENT} bytes; set TMPDIR to one that is"
    )


def forget_folder(record: Path) -> None:
    """
    Remove the folder noted in *record* if it is one of ours, and the note.
    """
    try:
        folder = Path(record.read_text().strip())
        info = folder.lstat()
    except OSError:
        return
    private = stat.S_ISDIR(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o700
    ours = os.geteuid() in (0, info.st_uid)
    if private and ours and folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)
    record.unlink(missing_ok=True)


def _parents(fallback: Path) -> Iterator[Path]:
    for parent in (Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), fallback):
        if parent.is_dir() and len(os.fsencode(parent)) <= LONGEST_PARENT:
            yield parent
