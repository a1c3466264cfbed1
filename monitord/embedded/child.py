"""One process that never outlives us: started, awaited and ended here, whatever it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys

from collections.abc import Mapping, Sequence
from pathlib import Path

from monitord.embedded.account import Account


LEASH = Path(__file__).with_name("leash.py")
POLL_SECONDS = 0.1


class Child:
    """
    A running process that the kernel signals when we die, `kill -9` included (Linux).

    The kernel ties that signal to the *thread* that starts the process: start it from the event
    loop of the main thread, never from a worker thread.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    def start(
        cls,
        command: Sequence[str | Path],
        *,
        log: Path,
        death_signal: signal.Signals = signal.SIGKILL,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """
        Start *command* with its output appended to *log*, away from our terminal's signals.

        Raises OSError: the log cannot be written or no process can be made. A command that cannot
        be executed ends at once with status 126 and a line in its log.
        """
        user = (account.uid, account.gid) if account else (-1, -1)
        leash = (sys.executable, "-I", "-S", LEASH, os.getpid(), int(death_signal), *user)
        with log.open("ab") as output:
            return cls(
                subprocess.Popen(  # a short fork of our own; waiting is done on the loop
                    [str(part) for part in (*leash, *command)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    env=None if environment is None else dict(environment),
                    start_new_session=True,
                    pass_fds=pass_fds,
                    umask=0o077,
                )
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while the process runs."""
        return self._process.poll()

    async def wait(self) -> int:
        """Return the exit status once the process has ended."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (OSError, AttributeError):  # ended already, or a kernel or Python without pidfd
            while self._process.poll() is None:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(POLL_SECONDS)
            return self._process.wait()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(descriptor, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._process.wait()

    async def stop(self, *steps: tuple[signal.Signals, float]) -> int:
        """
        End the process: send each signal and wait its number of seconds, at last SIGKILL.
        """
        for step, patience_seconds in steps:
            self._process.send_signal(step)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_seconds):
                    return await self.wait()
        self._process.kill()
        return await self.wait()


def tail(log: Path, lines: int = 5, limit_bytes: int = 8192) -> str:
    """
    Return the last *lines* of a log as one line of text; empty when there is nothing to read.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - limit_bytes))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])
