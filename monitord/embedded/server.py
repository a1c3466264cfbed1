"""What the embedded servers have in common: a folder of their own, and an end whatever happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from monitord.embedded.account import Account, server_account
from monitord.embedded.lock import FolderLock
from monitord.embedded.supervisor import Supervisor
from monitord.errors import EmbeddedError


class EmbeddedServer(ABC):
    """
    One server, running from `async with` to its end; *folder* holds its log, its lock and *data*.

    It is started again when it dies. Entering raises EmbeddedError, one line; what was entered by
    then is left again.
    """

    def __init__(self, name: str, folder: Path, data: Path) -> None:
        self._folder = folder.absolute()
        self._data = data.absolute()
        self._log = self._folder / f"{name}.log"
        self._stack = AsyncExitStack()
        self._account: Account | None = None
        self._supervisor: Supervisor

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it is being started again."""
        return self._supervisor.child.pid if self._supervisor.child else None

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                stack.enter_context(FolderLock(self._folder))
                self._account = server_account(self._data)
                self._supervisor = await self._prepared(stack)
                await stack.enter_async_context(self._supervisor)
            except OSError as error:
                raise EmbeddedError(f"{self._folder}: {error.strerror or error}") from error
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @abstractmethod
    async def _prepared(self, stack: AsyncExitStack) -> Supervisor:
        """Find the programs, make what the server needs; return what starts it and keeps it up."""
