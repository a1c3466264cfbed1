"""Numbers as text."""

import pytest

from monitord.http import units


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "ms", "0.00 ms"),
        (1.234, "ms", "1.23 ms"),
        (12.345, "ms", "12.3 ms"),
        (345.6, "ms", "346 ms"),
        (999.6, "ms", "1.00 s"),
        (90_000, "ms", "90.0 s"),
        (7_200_000, "ms", "2.00 h"),
        (0, "bytes", "0 B"),
        (1023, "bytes", "1023 B"),
        (1024, "bytes", "1.00 KiB"),
        (1024 * 1023.9, "bytes", "1.00 MiB"),
        (1.5 * 1024**3, "bytes", "1.50 GiB"),
        (5000 * 1024**4, "bytes", "5,000 TiB"),
        (97.34, "percent", "97.3 %"),
        (100, "percent", "100.0 %"),
        (0, "percent", "0.0 %"),
        (99.99, "percent", "> 99.9 %"),
        (0.01, "percent", "< 0.1 %"),
        (1234567, "count", "1,234,567"),
        (48.26, "per_second", "48.3 /s"),
        (1.0, "yes_no", "yes"),
        (0.0, "yes_no", "no"),
    ],
)
def test_text(value: float, unit: str, text: str) -> None:
    """
    A number has three figures and its unit; nearly all and nearly nothing do not look like it.
    """
    assert units.text(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (5, "percent", "5 %"),
        (2.5, "percent", "2.5 %"),
        (100, "ms", "100 ms"),
        (1000, "ms", "1 s"),
        (1500, "ms", "1.5 s"),
        (0, "count", "0"),
        (1024**3, "bytes", "1 GiB"),
    ],
)
def test_limit(value: float, unit: str, text: str) -> None:
    """
    A limit is written as a person sets it, without digits it does not need.
    """
    assert units.limit(value, unit) == text
