"""One monitord per folder: a lock that ends with the process that holds it, however it ends."""

from __future__ import annotations

import fcntl
import os

from pathlib import Path

from monitord.errors import EmbeddedError


def foreign(folder: Path) -> EmbeddedError:
    """
    Return the error that says the folder is somebody else's.
    """
    return EmbeddedError(
        f"{folder}: belongs to another user (monitord may have run as root before); start it as "
        "before, or choose another folder with state_dir: or MONITORD_STATE_DIR"
    )


def unusable(folder: Path, error: OSError) -> EmbeddedError:
    """
    Return the error that says the folder's lock file cannot be written.
    """
    return EmbeddedError(
        f"{folder}: its file lock cannot be written ({error.strerror}); make room or mend the "
        "folder, or choose another one with state_dir: or MONITORD_STATE_DIR"
    )


class FolderLock:
    """
    Holds the folder's lock file from `with` to its end; the kernel lets go of it after kill -9.

    Entering raises EmbeddedError: another process holds it, or the folder is another user's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> FolderLock:
        self._descriptor = self._open()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._descriptor, 20).decode(errors="replace").strip()
            os.close(self._descriptor)
            raise EmbeddedError(
                f"{self._folder}: another monitord (process {holder or 'unknown'}) uses this "
                "folder; stop it, or choose another one with state_dir: or MONITORD_STATE_DIR"
            ) from error
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(self._descriptor)
            raise unusable(self._folder, error) from error
        return self

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(self._folder / "lock", flags, 0o600)
        except PermissionError as error:
            raise foreign(self._folder) from error
        except OSError as error:
            raise unusable(self._folder, error) from error

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
