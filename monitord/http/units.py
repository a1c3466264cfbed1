"""Numbers as the page writes them: `12.5 ms`, `1.25 GiB`, `97.3 %`. Pure text, no HTML."""

from __future__ import annotations

import re

from collections.abc import Callable


def text(value: float, unit: str) -> str:
    """Return the value with its unit. Raises KeyError: the unit is not one of UNITS."""
    return UNITS[unit](value)


def limit(value: float, unit: str) -> str:
    """Return the same for a limit, without digits that a round figure does not need: `5 %`."""
    return re.sub(r"\.0+(?= )|(\.\d*[1-9])0+(?= )", r"\1", text(value, unit))


def figure(value: float) -> str:
    """Return three significant figures, and no fewer than the whole number's digits."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}"


def milliseconds(value: float) -> str:
    if abs(value) < 999.5:
        return f"{figure(value)} ms"
    return seconds(value / 1000)


def seconds(value: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(value) >= 2 * size:
            return f"{figure(value / size)} {name}"
    return f"{figure(value)} s"


def byte_count(value: float) -> str:
    if abs(value) < 1023.5:
        return f"{value:.0f} B"
    for name in ("KiB", "MiB", "GiB"):
        value /= 1024
        if abs(value) < 1023.5:
            return f"{figure(value)} {name}"
    return f"{figure(value / 1024)} TiB"


def percent(value: float) -> str:
    """Return one decimal; a share that is not quite all or nothing never looks like it."""
    if 99.95 <= value < 100:
        return "> 99.9 %"
    if 0 < value < 0.05:
        return "< 0.1 %"
    return f"{value:.1f} %"


def count(value: float) -> str:
    return f"{value:,.0f}"


def per_second(value: float) -> str:
    return f"{figure(value)} /s"


def yes_no(value: float) -> str:
    return "yes" if value else "no"


UNITS: dict[str, Callable[[float], str]] = {
    "ms": milliseconds,
    "s": seconds,
    "bytes": byte_count,
    "percent": percent,
    "count": count,
    "per_second": per_second,
    "yes_no": yes_no,
}


def span(seconds: float) -> str:
    """Return a window as text: `90 s`, `5 min`."""
    return f"{seconds / 60:.0f} min" if seconds % 60 == 0 else f"{seconds:.0f} s"
