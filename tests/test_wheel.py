"""What an installation gives: the command, its assets, an emitter that needs nothing else."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

from pathlib import Path

import pytest

import monitord

from monitord import assets


pytestmark = pytest.mark.wheel

PACKAGE = Path(monitord.__file__).parent

if not (PACKAGE / "_assets").is_dir():
    pytest.skip("runs on the installed wheel: make test-wheel", allow_module_level=True)


def test_the_assets_are_inside() -> None:
    """
    The wheel carries the settings, the SQL, the templates and the built page.
    """
    for name in ("config", "sql/migrations", "sql/queries", "web/templates", "web/dist"):
        folder = assets.folder(name)

        assert folder.is_relative_to(PACKAGE)
        assert any(folder.iterdir())


def test_the_command_is_there() -> None:
    """
    `monitord version` runs as installed and says the version of the distribution.
    """
    command = Path(sys.executable).with_name("monitord")

    done = subprocess.run([command, "version"], capture_output=True, text=True, check=True)

    assert importlib.metadata.version("monitord") in done.stdout


def test_the_emitter_stands_alone(tmp_path: Path) -> None:
    """
    Installed without any dependency, `import monitord.emit` works.
    """
    (tmp_path / "monitord").symlink_to(PACKAGE)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import monitord.emit; print('works')"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(tmp_path)], capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == ("works\n", "")
