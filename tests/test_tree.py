"""What lies in the repository: our own sources under the agreed names, nothing of one machine."""

from __future__ import annotations

import re
import subprocess
import tomllib

from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent

TOP_LEVEL = {
    ".ci",
    ".dockerignore",
    ".gitattributes",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "config",
    "docker-compose.yml",
    "docs",
    "hatch_build.py",
    "monitord",
    "monitord.yaml",
    "pyproject.toml",
    "requirements",
    "sql",
    "tests",
    "web",
}

# Written in pieces, so that this file does not hold what it forbids.
REGISTRIES = [
    "python" + "hosted",
    "//py" + "pi",
    "py" + "pi.org",
    "registry." + "npm",
    "registry." + "yarn",
    "npm" + "mirror",
    "cdn." + "jsdelivr",
    "un" + "pkg.com",
    "cdn" + "js.",
]
# A home or a work folder of the machine it was written on.
PLACES = re.compile(r"(?<![\w.])/(?:work|home/(?!u\b)[a-z]\w*|Users/[A-Z]?\w+|root)/[\w.]")
BUILT = re.compile(r"\.min\.(?:js|css)$|(?:^|/)(?:vendor|node_modules|dist)/|\.(?:whl|so|pyc)$")

BINARY = {".png", ".ico", ".woff2", ".gz", ".br", ".zst", ".bin"}
LONGEST_LINE = 1_000


def tracked() -> list[Path]:
    """Return every file git would commit: tracked, or new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = [Path(name) for name in done.stdout.decode().split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    paths = [path for path in tracked() if path.suffix not in BINARY]
    return [(path, (ROOT / path).read_text(encoding="utf-8", errors="replace")) for path in paths]


def test_top_level_names_are_the_agreed_ones() -> None:
    """
    Nothing new stands at the top level unseen.
    """
    assert {path.parts[0] for path in tracked()} <= TOP_LEVEL


def test_no_package_registry_is_named() -> None:
    """
    Lock files and sources hold hashes, never the address of a registry: that is the user's choice.
    """
    found = [
        f"{path}: {word}" for path, text in texts() for word in REGISTRIES if word in text.lower()
    ]

    assert not found


def test_no_path_of_one_machine() -> None:
    """
    No file refers to a folder that exists on its author's machine only.
    """
    found = [
        f"{path}:{number}: {line.strip()[:80]}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if PLACES.search(line)
    ]

    assert not found


def test_no_third_party_or_built_code() -> None:
    """
    What comes from a registry or out of a build is not committed.
    """
    assert not [path for path in tracked() if BUILT.search(path.as_posix())]


def test_no_minified_code() -> None:
    """
    Sources are written for readers: no line of thousands of characters.
    """
    data = ("package-lock.json", ".lock", ".json", ".ndjson", ".txt")

    long = [
        f"{path}:{number}"
        for path, text in texts()
        if not path.name.endswith(data)
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LONGEST_LINE
    ]

    assert not long


def test_lock_files_pin_by_hash() -> None:
    """
    Every locked package has its version and at least one hash.
    """
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        entries = re.split(r"^(?=[A-Za-z0-9])", lock.read_text(), flags=re.MULTILINE)[1:]

        assert entries, lock.name
        for entry in entries:
            assert re.match(r"[\w.-]+==\S+", entry), f"{lock.name}: {entry[:60]}"
            assert "--hash=sha256:" in entry, f"{lock.name}: {entry[:60]}"


def test_build_requirements_are_pinned() -> None:
    """
    The wheel is built with the same tools everywhere.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())

    assert all("==" in need for need in project["build-system"]["requires"])


def test_changelog_knows_the_version() -> None:
    """
    The version in pyproject.toml, in the package and at the top of the changelog are one.
    """
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    package = (ROOT / "monitord" / "__init__.py").read_text()

    assert re.findall(r"^## \[(\d[^\]]*)\]", changelog, flags=re.MULTILINE)[0] == version
    assert f'__version__ = "{version}"' in package


def test_lock_files_agree() -> None:
    """
    A package has the same version in every lock file, so what is tested is what is shipped.
    """
    versions: dict[str, set[str]] = {}
    for lock in sorted((ROOT / "requirements").glob("*.lock")):
        pins: dict[str, set[str]] = {}
        for name, pin in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), flags=re.MULTILINE):
            pins.setdefault(name, set()).add(pin)
        for name, found in pins.items():
            known = versions.setdefault(name, found)
            assert found == known, f"{lock.name}: {name}"
