"""The one way from a file and the environment to Settings. Reads both once; nobody else does."""

from __future__ import annotations

import os
import stat
import sys

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from monitord.errors import SettingsError
from monitord.settings import Settings
from monitord.settings_file import tree
from monitord.settings_file.keys import PORT, SETTINGS
from monitord.settings_file.mistakes import Mistakes
from monitord.settings_file.read import Reader
from monitord.settings_file.rules import broken, unwise
from monitord.settings_file.values import Misfit


CONFIG = "MONITORD_CONFIG"
STATE_DIR = "MONITORD_STATE_DIR"
WEB_PORT = "MONITORD_WEB_PORT"
INGEST_PORT = "MONITORD_INGEST_PORT"

# Neither the file nor the environment names the state folder.
_UNSET = Path()


def load(path: Path | str | None, environ: Mapping[str, str]) -> Settings:
    """
    Return the settings of a file, with the environment's overrides.

    Without a path MONITORD_CONFIG names the file; without that, everything is as by default. The
    variables MONITORD_STATE_DIR, MONITORD_WEB_PORT and MONITORD_INGEST_PORT win over the file; an
    empty variable counts as unset. Paths in the file are relative to the file's folder.

    Raises SettingsError: one line per mistake, `monitord.yaml:12: web.port: expected …, found …`.
    """
    name = str(path) if path is not None else environ.get(CONFIG, "")
    file = Path(name).expanduser() if name else None
    mistakes = Mistakes(name or "settings")
    reader = Reader(mistakes, environ, file.parent.absolute() if file else Path.cwd())
    root = tree.parse(_text(file, mistakes), mistakes) if file else tree.Mapping(0, {}, {})
    settings = reader.section(SETTINGS, root, "", source=file, state_dir=_UNSET)
    mistakes.raise_if_any()
    settings = _overridden(cast(Settings, settings), environ)
    for place, rule in broken(settings):
        mistakes.add(_line(reader.lines, place), place, rule)
    mistakes.raise_if_any()
    warnings = (*_readable_secrets(file, reader.literal_secrets), *unwise(settings))
    return replace(settings, warnings=warnings)


def default_state_dir(environ: Mapping[str, str], *, root: bool, platform: str) -> Path:
    """
    Return the platform's folder for what a program keeps between its runs.

    Raises SettingsError: there is no home folder to put it under.
    """
    if root and platform != "darwin":
        return Path("/var/lib/monitord")
    try:
        home = Path(environ.get("HOME") or Path.home())
    except RuntimeError:
        raise SettingsError(
            f"settings: state_dir: expected a folder, found no home for one; set {STATE_DIR}"
        ) from None
    if platform == "darwin":
        return home / "Library" / "Application Support" / "monitord"
    state = Path(environ.get("XDG_STATE_HOME", ""))
    return (state if state.is_absolute() else home / ".local" / "state") / "monitord"


def _text(file: Path, mistakes: Mistakes) -> str:
    """Return the file's text; what hinders that is noted, and nothing returned."""
    try:
        with file.open("rb") as stream:
            content = stream.read(tree.SIZE_LIMIT + 1)
    except OSError as error:
        mistakes.add(0, "", f"expected a readable file ({error.strerror})")
        return ""
    if len(content) > tree.SIZE_LIMIT:
        mistakes.add(0, "", f"expected at most {tree.SIZE_LIMIT // 1024} KiB, found more")
        return ""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        mistakes.add(line, "", f"expected UTF-8 text, found the byte 0x{content[error.start]:02x}")
        return ""


def _overridden(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Return the settings with what the environment says in their place. Raises SettingsError."""
    web, ingest = _port(WEB_PORT, environ), _port(INGEST_PORT, environ)
    if web is not None:
        settings = replace(settings, web=replace(settings.web, port=web))
    if ingest is not None:
        settings = replace(settings, ingest=replace(settings.ingest, port=ingest))
    if environ.get(STATE_DIR):
        return replace(settings, state_dir=Path(environ[STATE_DIR]).expanduser().absolute())
    if settings.state_dir != _UNSET:
        return settings
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    folder = default_state_dir(environ, root=root, platform=sys.platform)
    return replace(settings, state_dir=folder)


def _port(variable: str, environ: Mapping[str, str]) -> int | None:
    text = environ.get(variable, "")
    try:
        return PORT.parse(text) if text else None
    except Misfit:
        raise SettingsError(f"{variable}: expected {PORT.expected}, found {text!r}") from None


def _line(lines: Mapping[str, int], path: str) -> int:
    """Return the line of a path, or of the nearest key above it that stands in the file; else 0."""
    while path and path not in lines:
        path = path.rpartition(".")[0]
    return lines.get(path, 0)


def _readable_secrets(file: Path | None, literal_secrets: list[str]) -> Iterator[str]:
    if file and literal_secrets and file.stat().st_mode & stat.S_IROTH:
        yield (
            f"{file}: every user of this machine may read {', '.join(literal_secrets)};"
            f" run 'chmod 640 {file}', or use ${{VAR}} or the _file keys"
        )
