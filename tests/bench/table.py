"""One measured figure beside what it must reach, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`good` is None where the figure has no limit to keep."""

    what: str
    value: float
    unit: str
    target: str
    good: bool | None


def render(rows: list[Row]) -> str:
    """Return the rows as an aligned text table."""
    cells = [("what", "measured", "must reach", "")]
    marks = {True: "ok", False: "MISSED", None: ""}
    for row in rows:
        value = f"{row.value:,.0f}" if abs(row.value) >= 1000 else f"{row.value:.3g}"
        cells.append((row.what, f"{value} {row.unit}", row.target, marks[row.good]))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
