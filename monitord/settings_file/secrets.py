"""Secrets in files of their own, and telling whether a value is one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from monitord.settings import Secret


SIZE_LIMIT = 64 * 1024


def read_secret(path: Path) -> str:
    """Return a small text file. Raises OSError; ValueError: too large, or not UTF-8."""
    with path.open("rb") as file:
        content = file.read(SIZE_LIMIT + 1)
    if len(content) > SIZE_LIMIT:
        raise ValueError(f"larger than {SIZE_LIMIT // 1024} KiB")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def holds_secret(value: Secret) -> bool:
    """Say whether giving the value away would hurt: an address without a password is no secret."""
    text = value.reveal()
    if "://" not in text:
        return bool(text)
    parts = urlsplit(text)
    return bool(parts.password) or "password=" in parts.query
