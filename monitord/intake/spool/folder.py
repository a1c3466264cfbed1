"""The spool's folder: one owner at a time, private modes, and no link is ever followed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

from collections.abc import Callable
from pathlib import Path
from typing import Self

from monitord.errors import SpoolError


SEGMENT = ".seg"
QUARANTINED = ".bad"
LOCK = "lock"

READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class Folder:
    """
    A folder held open by its descriptor: what is put in its place later is not used.

    Raises SpoolError when it cannot be ours; every method may raise OSError.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        self.path = path
        self._lock = -1
        try:
            if create:
                _make(path)
            self.descriptor = os.open(path, READ | os.O_DIRECTORY)
        except OSError as error:
            raise SpoolError(f"{path}: {_reason(path, error)}") from error
        status = os.fstat(self.descriptor)
        if status.st_uid != os.geteuid():
            os.close(self.descriptor)
            raise SpoolError(
                f"{path}: the spool's folder belongs to another user (number {status.st_uid}); "
                "start monitord as that user, or name another folder"
            )
        if create and stat.S_IMODE(status.st_mode) != 0o700:
            try:
                os.fchmod(self.descriptor, 0o700)
            except OSError as error:
                os.close(self.descriptor)
                raise SpoolError(f"{path}: cannot be made private ({error.strerror})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lock(self) -> None:
        """
        Take the folder for this process, until it ends or closes. Raises SpoolError: it is taken.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._lock = os.open(LOCK, flags, 0o600, dir_fd=self.descriptor)
        except OSError as error:
            raise SpoolError(f"{self.path / LOCK}: cannot be opened ({error.strerror})") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 20, 0).decode(errors="replace").strip()
            raise SpoolError(
                f"{self.path}: another monitord (process {holder or 'unknown'}) uses this spool; "
                "stop it, or name another folder"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the number is for people only
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def names(self, suffix: str) -> list[str]:
        """Return the names with this ending, in order."""
        return sorted(name for name in os.listdir(self.descriptor) if name.endswith(suffix))

    def create(self, name: str) -> int:
        """Open a new file for writing, private to us."""
        return os.open(name, CREATE, 0o600, dir_fd=self.descriptor)

    def open(self, name: str, flags: int = READ) -> int:
        """Open a file that is there. Anything but a plain file is refused as EINVAL."""
        descriptor = os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=self.descriptor)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(22, "not a plain file", str(self.path / name))
        return descriptor

    def size_of(self, name: str) -> int:
        """Return a file's size in bytes; 0 where there is none."""
        try:
            return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is passed over."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.descriptor)

    def replace(self, name: str, data: bytes) -> None:
        """Put these bytes in a file's place, so that either the old or the new is ever seen."""
        fresh = f"{name}.new"
        self.remove(fresh)
        descriptor = self.create(fresh)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            self.remove(fresh)
            raise
        finally:
            os.close(descriptor)
        os.rename(fresh, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        self.sync()

    def sync(self) -> None:
        """Make the names in the folder durable."""
        os.fsync(self.descriptor)

    def free_bytes(self) -> int:
        """Return what an ordinary user may still write on the file system."""
        found = os.statvfs(self.descriptor)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """Let go of the folder and its lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class FileSource:
    """
    A file read by offset through a window, so that small neighbours cost one call.

    `size` may be less than the file: what is behind it is not there yet.
    """

    WINDOW_BYTES = 16 * 1024

    def __init__(self, descriptor: int, size: int | None = None) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size if size is None else size
        self._at = 0
        self._window = b""

    def read(self, at: int, length: int) -> bytes:
        length = min(length, self.size - at)
        if length <= 0:
            return b""
        start = at - self._at
        if start < 0 or start + length > len(self._window):
            if length >= self.WINDOW_BYTES:
                return read_all(self._descriptor, at, length)
            wanted = min(self.WINDOW_BYTES, self.size - at)
            self._at, self._window = at, read_all(self._descriptor, at, wanted)
            start = 0
        return self._window[start : start + length]


def read_all(descriptor: int, at: int, length: int) -> bytes:
    """Return up to `length` bytes from an offset; fewer only where the file ends."""
    data = os.pread(descriptor, length, at)
    while 0 < len(data) < length and (
        more := os.pread(descriptor, length - len(data), at + len(data))
    ):
        data += more
    return data


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: a system call may take fewer than it was given."""
    written = os.write(descriptor, data)
    view = memoryview(data)
    while written < len(data):
        written += os.write(descriptor, view[written:])


def append_all(descriptor: int, at: int, data: bytes, sync: Callable[[int], None]) -> None:
    """Make bytes durable at a file's end. Raises OSError: then nothing of them is left."""
    try:
        os.lseek(descriptor, at, os.SEEK_SET)
        write_all(descriptor, data)
        sync(descriptor)
    except Exception:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, at)
        raise


def _make(path: Path) -> None:
    """Make a folder where there is none, and its name durable: with it all in it would be gone."""
    made = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in made:
        # One that we may write to and not read cannot be synced.
        with contextlib.suppress(PermissionError):
            _sync_folder(one.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return "is a symbolic link; the spool's folder must be a folder of its own"
    return f"cannot be the spool's folder ({error.strerror})"
