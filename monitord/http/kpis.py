"""`config/kpis.yaml`: which figures the page shows, in which words, and when they are bad."""

from __future__ import annotations

import re

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from monitord.http.answers import State
from monitord.http.values import VALUES, RequestValue
from monitord.latency import RequestStats
from monitord.settings_file.mistakes import Mistakes, quoted
from monitord.settings_file.tree import Items, Mapping, Node, Scalar, describe, parse
from monitord.settings_file.values import Duration


WINDOW = Duration(minimum=10, maximum=3_600)
# What looks back over the picked range is judged for the banner over this, whatever is picked.
BANNER_WINDOW = 300.0

NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,6})?", re.ASCII)
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

TEXT_KEYS = frozenset({"id", "value", "window", "text", "absent", "meaning"})
NUMBER_KEYS = frozenset({"ok_at_most", "warning_at_most", "ok_at_least", "warning_at_least"})
CARD_KEYS = TEXT_KEYS | NUMBER_KEYS | {"title"}
ROW_KEYS = TEXT_KEYS | NUMBER_KEYS | {"group", "metric"}


class Limits(Struct, frozen=True):
    """From where on a value is bad. `critical` beyond `warning`, which is None when it never is."""

    better: Literal["lower", "higher"]
    ok: float
    warning: float | None = None

    def judge(self, value: float) -> State:
        if not self._beyond(value, self.ok):
            return "ok"
        if self.warning is None or not self._beyond(value, self.warning):
            return "warning"
        return "critical"

    def crossed(self, value: float) -> float:
        """Return the limit that a bad value is beyond."""
        if self.warning is not None and self._beyond(value, self.warning):
            return self.warning
        return self.ok

    def _beyond(self, value: float, limit: float) -> bool:
        return value > limit if self.better == "lower" else value < limit


def judged(value: RequestValue, limits: Limits, stats: RequestStats) -> State:
    """Return the state of a figure of the requests; unknown when too few of them are behind it."""
    number = value.read(stats)
    if number is None:
        return "unknown"
    state = limits.judge(number)
    return state if state == "ok" or value.enough(stats) else "unknown"


class Kpi(Struct, frozen=True):
    """
    One card or one row.

    `window` is how far the value looks back in seconds; None is the range picked on the page.
    `text` holds `{value}` and names of further values in braces; `absent` stands for no value.
    """

    id: str
    title: str
    value: str
    window: float | None
    group: str = ""
    text: str = "{value}"
    absent: str = "no data"
    meaning: str = ""
    limits: Limits | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The values it shows, its own first."""
        return (self.value, *(n for n in PLACEHOLDER.findall(self.text) if n != "value"))


class Kpis(Struct, frozen=True):
    """The whole file."""

    cards: tuple[Kpi, ...]
    rows: tuple[Kpi, ...]

    def __iter__(self) -> Iterator[Kpi]:
        yield from self.cards
        yield from self.rows


def load(path: Path) -> Kpis:
    """
    Read the file.

    Raises SettingsError: it cannot be read, or has mistakes, each named with its line and key.
    """
    mistakes = Mistakes(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        mistakes.add(0, "", f"cannot be read: {error}")
        text = ""
    mistakes.raise_if_any()
    kpis = read(parse(text, mistakes), mistakes)
    mistakes.raise_if_any()
    return kpis


def read(root: Mapping, mistakes: Mistakes) -> Kpis:
    """Return what the document says; what is wrong with it is noted in `mistakes`."""
    for name in root.nodes.keys() - {"cards", "rows"}:
        mistakes.add(root.lines[name], name, "unknown key; known keys are cards, rows")
    parts = {}
    for part, keys in (("cards", CARD_KEYS), ("rows", ROW_KEYS)):
        found = _items(root, part, mistakes)
        kpis = [_Item(node, f"{part}[{i}]", keys, mistakes).kpi() for i, node in enumerate(found)]
        parts[part] = tuple(kpi for kpi in kpis if kpi is not None)
        _unique(parts[part], found, part, mistakes)
    return Kpis(**parts)


def _items(root: Mapping, part: str, mistakes: Mistakes) -> tuple[Node, ...]:
    node = root.nodes.get(part)
    if isinstance(node, Items) and node.nodes:
        return node.nodes
    found = "nothing" if node is None else describe(node)
    mistakes.add(root.lines.get(part, 0), part, f"expected a list of one or more, found {found}")
    return ()


def _unique(kpis: tuple[Kpi, ...], nodes: tuple[Node, ...], part: str, mistakes: Mistakes) -> None:
    seen: set[str] = set()
    for kpi, node in zip(kpis, nodes, strict=False):
        if kpi.id in seen:
            mistakes.add(node.line, part, f"duplicate id {kpi.id}")
        seen.add(kpi.id)


class _Item:
    """One entry of a list while it is read."""

    def __init__(self, node: Node, path: str, keys: frozenset[str], mistakes: Mistakes) -> None:
        self._path = path
        self._mistakes = mistakes
        self._node = node if isinstance(node, Mapping) else Mapping(node.line, {}, {})
        if not isinstance(node, Mapping):
            mistakes.add(node.line, path, f"expected keys such as 'id:', found {describe(node)}")
        for name in sorted(self._node.nodes.keys() - keys):
            self._wrong(name, f"unknown key; known keys are {', '.join(sorted(keys))}")
        self._title = "title" if "title" in keys else "metric"

    def kpi(self) -> Kpi | None:
        """Return the entry, or None when something it cannot be without is missing."""
        name, title, value = self._text("id"), self._text(self._title), self._value()
        limits = self._limits()
        if name is None or title is None or value is None:
            return None
        return Kpi(
            id=name,
            title=title,
            value=value,
            window=self._window(value),
            group=self._text("group", "") or "",
            text=self._template(),
            absent=self._text("absent", "no data") or "no data",
            meaning=self._text("meaning", "") or "",
            limits=limits,
        )

    def _wrong(self, key: str, rule: str) -> None:
        line = self._node.lines.get(key, self._node.line)
        self._mistakes.add(line, f"{self._path}.{key}", rule)

    def _text(self, key: str, default: str | None = None) -> str | None:
        node = self._node.nodes.get(key)
        if node is None and default is not None:
            return default
        if isinstance(node, Scalar) and not node.empty and node.text.isprintable():
            return node.text
        self._wrong(key, f"expected a text, found {describe(node) if node else 'nothing'}")
        return None

    def _value(self) -> str | None:
        name = self._text("value")
        if name is None or name in VALUES:
            return name
        self._wrong("value", f"unknown value {quoted(name)}; known are {', '.join(sorted(VALUES))}")
        return None

    def _template(self) -> str:
        text = self._text("text", "{value}") or "{value}"
        for name in PLACEHOLDER.findall(text):
            if name != "value" and name not in VALUES:
                self._wrong("text", f"unknown value {quoted(name)} in braces")
        return text

    def _window(self, value: str) -> float | None:
        text = self._text("window", "1m") or "1m"
        if text == "range" and isinstance(VALUES[value], RequestValue):
            return None
        try:
            return WINDOW.parse(text)
        except ValueError as error:
            rule = f"expected {str(error) or WINDOW.expected}"
            self._wrong("window", f"{rule} (or 'range' for requests), found {quoted(text)}")
            return 60.0

    def _limits(self) -> Limits | None:
        numbers = {key: self._number(key) for key in NUMBER_KEYS & self._node.nodes.keys()}
        lower = {key for key in numbers if key.endswith("at_most")}
        if lower and lower != numbers.keys():
            self._wrong(min(numbers), "at_most and at_least exclude one another")
            return None
        word = "at_most" if lower else "at_least"
        ok, warning = numbers.get(f"ok_{word}"), numbers.get(f"warning_{word}")
        if ok is None:
            if numbers:
                self._wrong(min(numbers), f"expected ok_{word} beside it")
            return None
        if warning is not None and (warning < ok if lower else warning > ok):
            self._wrong(f"warning_{word}", f"expected a limit further out than ok_{word}")
            return None
        return Limits("lower" if lower else "higher", ok, warning)

    def _number(self, key: str) -> float | None:
        node = self._node.nodes[key]
        if isinstance(node, Scalar) and NUMBER.fullmatch(node.text):
            return float(node.text)
        self._wrong(key, f"expected a number, found {describe(node)}")
        return None
