"""`monitord migrate`: brings the store's schema up to date and ends; `run` does it by itself."""

from __future__ import annotations

import contextlib

from monitord.errors import StoreError, StoreUnreachable
from monitord.service import embedded_store, state_folder
from monitord.settings import Settings
from monitord.store.connection import connect
from monitord.store.failures import ROOTS, Failure, describe, judge
from monitord.store.migrate import migrate


async def run(settings: Settings) -> list[str]:
    """
    Apply what is missing to the store, the embedded one too; return the names of what was applied.

    Raises MonitordError: the store cannot be reached or refuses.
    """
    async with contextlib.AsyncExitStack() as stack:
        dsn = settings.store.dsn.reveal()
        if not dsn:
            stack.enter_context(state_folder(settings.state_dir))
            dsn = await stack.enter_async_context(embedded_store(settings.state_dir))
        try:
            connection = await connect(dsn, within=settings.store.timeout, per_call=0)
            stack.callback(connection.terminate)
            return await migrate(connection)
        except ROOTS as error:
            kind = StoreError if judge(error) is Failure.STORE else StoreUnreachable
            raise kind(f"store: {describe(error)}") from error
