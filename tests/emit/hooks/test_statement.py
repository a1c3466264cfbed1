"""What is said of SQL at a glance."""

from __future__ import annotations

import pytest

from hypothesis import given
from hypothesis import strategies as st

from monitord.emit.hooks.statement import NAME_CHARS, TEXT_CHARS, glance, query


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SELECT * FROM orders WHERE id = $1", "SELECT orders"),
        ("select extract(epoch FROM created) from Shop.orders o", "SELECT Shop.orders"),
        ('SELECT 1 FROM "My Shop"."orders"', "SELECT My Shop.orders"),
        ("SELECT 'it''s FROM x' FROM orders", "SELECT orders"),
        ("-- FROM x\n/* FROM ( y */ SELECT 1 FROM orders", "SELECT orders"),
        ("SELECT * FROM generate_series(1, 2)", "SELECT"),
        ("SELECT * FROM (SELECT * FROM orders) o", "SELECT"),
        ("(SELECT 1 FROM orders) UNION (SELECT 2)", "SELECT orders"),
        ("WITH a AS (SELECT 1 FROM x) INSERT INTO orders(a) SELECT * FROM a", "INSERT orders"),
        ("INSERT INTO orders SELECT * FROM drafts", "INSERT orders"),
        ("UPDATE ONLY orders SET a = 1", "UPDATE orders"),
        ("DELETE FROM orders USING items", "DELETE orders"),
        ("MERGE INTO orders USING drafts ON true", "MERGE orders"),
        ("COPY orders (a) FROM STDIN", "COPY orders"),
        ("TRUNCATE TABLE orders", "TRUNCATE orders"),
        ("CREATE TABLE IF NOT EXISTS orders (id int)", "CREATE orders"),
        ("CREATE INDEX i ON orders (id)", "CREATE"),
        ("DO $x$ SELECT FROM orders $x$", "DO"),
        ("BEGIN;", "BEGIN"),
        ("", "QUERY"),
        (")))((", "QUERY"),
    ],
)
def test_names(text: str, name: str) -> None:
    """
    A name is the operation, and the table it is about where that is plain.
    """
    assert glance(text).name == name


def test_a_long_statement() -> None:
    """
    The text is cut, and its beginning names it.
    """
    name, attributes = query("SELECT 1 FROM orders -- " + "x" * 10_000, "postgresql", "shop")

    assert name == "SELECT orders"
    assert len(attributes["db.query.text"]) == TEXT_CHARS


@given(st.text(st.sampled_from("()'\"$-/* \nSELECTFROMx.;"), max_size=200) | st.text())
def test_any_text(text: str) -> None:
    """
    Whatever is sent has a short name that is not empty.
    """
    found = glance(text[:TEXT_CHARS])

    assert 0 < len(found.operation) <= NAME_CHARS
    assert len(found.table) <= NAME_CHARS
