"""The statements of `sql/queries` by name: `queries().find_host(connection, instance=...)`."""

from __future__ import annotations

import functools

from typing import Any

import aiosql

from monitord import assets


@functools.cache
def queries() -> Any:
    """
    Return every named statement, parsed once. Arguments are given by name.

    Raises AssetError: the folder is missing from the installation.
    """
    return aiosql.from_path(assets.folder("sql/queries"), "asyncpg")
