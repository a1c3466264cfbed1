"""`config/kpis.yaml` and its mistakes."""

from pathlib import Path

import pytest

from monitord import assets
from monitord.errors import SettingsError
from monitord.http import kpis
from monitord.http.kpis import Kpi, Limits


def load(folder: Path, text: str) -> kpis.Kpis:
    path = folder / "kpis.yaml"
    path.write_text(text, encoding="utf-8")
    return kpis.load(path)


CARD = """\
cards:
  - id: latency
    title: Latency
    value: api.latency_p95
    window: 5m
    ok_at_most: 100
    warning_at_most: 200.5
rows:
  - group: Redis
    id: memory
    metric: Memory
    value: redis.memory_percent
    text: "{value} of {redis.memory_max}"
    absent: no limit
"""


def test_a_file(tmp_path: Path) -> None:
    """
    A card and a row are read with their limits, windows and texts.
    """
    found = load(tmp_path, CARD)

    assert found.cards == (
        Kpi("latency", "Latency", "api.latency_p95", 300.0, limits=Limits("lower", 100, 200.5)),
    )
    (row,) = found.rows
    assert (row.group, row.title, row.window) == ("Redis", "Memory", 60.0)
    assert (row.absent, row.limits) == ("no limit", None)
    assert row.names == ("redis.memory_percent", "redis.memory_max")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("window: 5m", "windw: 5m", "5: cards[0].windw: unknown key; known keys are absent"),
        ("window: 5m", "window: 5", "5: cards[0].window: expected a duration such as '15s'"),
        ("window: 5m", "window: 2d", "5: cards[0].window: expected a duration from 10s to 1h"),
        ("title: Latency", "titel: Latency", "2: cards[0].title: expected a text, found nothing"),
        (
            "value: api.latency_p95",
            "value: api.speed",
            "4: cards[0].value: unknown value 'api.speed'",
        ),
        (
            "ok_at_most: 100",
            "ok_at_most: many",
            "6: cards[0].ok_at_most: expected a number, found many",
        ),
        (
            "ok_at_most: 100",
            "ok_at_most: .nan",
            "6: cards[0].ok_at_most: expected a number, found .nan",
        ),
        ("ok_at_most: 100", "ok_at_least: 100", "at_most and at_least exclude one another"),
        ("ok_at_most: 100", "ok_at_most: 300", "expected a limit further out than ok_at_most"),
        ("    ok_at_most: 100\n", "", "cards[0].warning_at_most: expected ok_at_most beside it"),
        ("{redis.memory_max}", "{redis.max}", "rows[0].text: unknown value 'redis.max' in braces"),
        ("rows:", "lines:", "lines: unknown key; known keys are cards, rows"),
        ("id: latency", "id: *a", "aliases are not used here"),
        ("cards:\n", "cards:\ncards:\n", "cards: duplicate key"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, message: str) -> None:
    """
    A mistake names file, line, key and rule.
    """
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, CARD.replace(old, new))

    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "kpis.yaml"))


@pytest.mark.parametrize("text", ["", "cards: []\nrows: []", "cards: 5\nrows: x", "- a", "\t"])
def test_no_lists(tmp_path: Path, text: str) -> None:
    """
    A file without cards or rows is refused, whatever stands in it.
    """
    with pytest.raises(SettingsError):
        load(tmp_path, text)


def test_missing(tmp_path: Path) -> None:
    """
    A file that cannot be read is a mistake like any other.
    """
    with pytest.raises(SettingsError, match="cannot be read"):
        kpis.load(tmp_path / "kpis.yaml")


def test_range_is_for_requests_only(tmp_path: Path) -> None:
    """
    What is scraped is shown as it is now, so the picked range cannot be its window.
    """
    text = CARD.replace("absent: no limit", "window: range")

    with pytest.raises(SettingsError, match=r"rows\[0\].window"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("limits", "value", "state", "crossed"),
    [
        (Limits("lower", 100, 200), 100, "ok", 100),
        (Limits("lower", 100, 200), 100.1, "warning", 100),
        (Limits("lower", 100, 200), 200, "warning", 100),
        (Limits("lower", 100, 200), 201, "critical", 200),
        (Limits("higher", 80, 50), 80, "ok", 80),
        (Limits("higher", 80, 50), 79.9, "warning", 80),
        (Limits("higher", 80, 50), 50, "warning", 80),
        (Limits("higher", 80, 50), 49.9, "critical", 50),
        (Limits("lower", 0), 7, "warning", 0),
    ],
)
def test_judge(limits: Limits, value: float, state: str, crossed: float) -> None:
    """
    A limit itself is still good; without a second limit nothing is critical.
    """
    assert limits.judge(value) == state
    assert limits.crossed(value) == crossed


def test_the_file_that_is_shipped() -> None:
    """
    Six cards and the 24 rows of the table, with the thresholds the page promises.
    """
    shipped = kpis.load(assets.folder("config") / "kpis.yaml")

    limits = {card.id: card.limits for card in shipped.cards}
    assert limits == {
        "api_latency_p95": Limits("lower", 100, 200),
        "redis_hit_rate": Limits("higher", 80, 50),
        "postgres_cache_hit": Limits("higher", 90, 70),
        "system_cpu": Limits("lower", 70, 90),
        "system_memory": Limits("lower", 70, 90),
        "requests_per_second": None,
    }
    groups = [row.group for row in shipped.rows]
    assert {group: groups.count(group) for group in groups} == {
        "API": 8,
        "Redis": 7,
        "PostgreSQL": 6,
        "System": 3,
    }
    assert len({row.id for row in shipped.rows}) == 24
