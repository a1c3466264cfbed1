"""As whom a server runs: as we do, or, when we are root, as somebody who is not."""

from __future__ import annotations

import os
import pwd
import stat

from pathlib import Path

from msgspec import Struct

from monitord.errors import EmbeddedError


# `nobody` first: the account `postgres`, where there is one, owns the databases of the machine.
CANDIDATES = ("nobody", "postgres")


class Account(Struct, frozen=True):
    """A user and its main group, by number and name."""

    name: str
    uid: int
    gid: int


def server_account(data: Path) -> Account | None:
    """
    Return the account a server on the folder *data* must run as; None is our own.

    Data that is already there keeps its owner. Raises EmbeddedError: we are root and the machine
    has nobody else.
    """
    if os.geteuid() != 0:
        return None
    names = list(CANDIDATES)
    if data.exists() and (owner := data.stat().st_uid) != 0:
        names.insert(0, _name(owner))
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and this machine has neither a user 'nobody' "
        "nor 'postgres' to run it as; add one, or start monitord as an ordinary user"
    )


def reaches(account: Account | None, folder: Path) -> bool:
    """
    Say whether the account may pass through *folder* and everything above it (access lists aside).
    """
    if account is None:
        return os.access(folder, os.X_OK)
    return all(_may_pass(account, part) for part in (folder, *folder.parents))


def _may_pass(account: Account, folder: Path) -> bool:
    info = folder.stat()
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
