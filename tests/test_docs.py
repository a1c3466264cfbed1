"""The documentation says what the code does: its settings load, its links lead somewhere."""

from __future__ import annotations

import re

from pathlib import Path

import pytest
import yaml

from monitord import cli, scrapers
from monitord.settings_file import load
from monitord.settings_file.documents import defaults_yaml
from monitord.settings_file.keys import SETTINGS
from monitord.settings_file.shape import FILE_SUFFIX


ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SECTIONS = set(SETTINGS.known())

ENVIRON = {
    "HOME": "/home/u",
    "SHOP_DATABASE": "postgresql://monitord@h/shop",
    "MONITORD_TOKEN": "0123456789abcdef",
    "MONITORD_READ_TOKEN": "0123456789abcdef",
}


def blocks(page: Path, language: str) -> list[str]:
    """Return the indented or plain code blocks of one language."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```"
    found = re.findall(pattern, page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return ["\n".join(line[len(indent) :] for line in text.splitlines()) for indent, text in found]


def settings_examples() -> list[tuple[str, str]]:
    """Return (page, YAML) of every example whose top keys are settings."""
    return [
        (page.name, text)
        for page in PAGES
        for text in blocks(page, "yaml")
        if set(yaml.safe_load(text) or {}) <= SECTIONS
    ]


@pytest.mark.parametrize(("page", "text"), settings_examples())
def test_examples_of_settings_load(tmp_path: Path, page: str, text: str) -> None:
    """
    Every example of monitord.yaml in the documentation is one that monitord takes.
    """
    for name in re.findall(r"\S+\.pem|/run/secrets/\w+", text):
        (tmp_path / Path(name).name).write_text("postgresql://monitord@h/shop\n")
    text = text.replace("/run/secrets/", "")
    (tmp_path / "monitord.yaml").write_text(text)

    settings = load(tmp_path / "monitord.yaml", ENVIRON)

    assert settings != load(None, ENVIRON), page


def test_there_are_examples() -> None:
    """
    The search for examples finds those of the two pages that have them.
    """
    assert {"configuration.md", "security.md"} <= {page for page, _ in settings_examples()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """
    A relative link names a file of the repository.
    """
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_command_and_exit_code_is_documented() -> None:
    """
    docs/cli.md has every command, and the exit codes of --help.
    """
    page = (ROOT / "docs" / "cli.md").read_text()
    commands = re.findall(r"^    (\w+)  ", cli.parser().format_help(), flags=re.MULTILINE)

    assert commands == ["run", "check", "demo", "migrate", "version", "spool"]
    assert [name for name in commands if f"`monitord {name}" not in page] == []
    for code in re.findall(r"^  (\d(?:\d\d \+ n)?)  ", cli.EXIT_CODES, flags=re.MULTILINE):
        assert f"| {code} |" in page


def test_every_secret_key_is_named() -> None:
    """
    docs/configuration.md lists the keys that have a sibling with _file.
    """
    page = (ROOT / "docs" / "configuration.md").read_text()
    secrets = set(re.findall(rf"# (\w+){FILE_SUFFIX}:", defaults_yaml()))

    assert secrets
    assert [name for name in secrets if f"`{name}`" not in page] == []


def test_contributing_names_what_exists() -> None:
    """
    The files, registries and folders CONTRIBUTING.md sends people to are there.
    """
    page = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:monitord|config|sql|web|tests|docs)/[\w./]+)`", page)

    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert "OPENERS" in page
    assert scrapers.OPENERS
