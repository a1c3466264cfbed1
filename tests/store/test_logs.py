"""What is read of stored log lines: pages without holes or repeats, and text taken as text."""

import time

from collections.abc import Awaitable, Callable, Sequence

import asyncpg
import pytest

from monitord.errors import StoreUnreachable
from monitord.http.lines import line_filter
from monitord.model import LEVELS, Batch, ErrorInfo, Frame, Log, LogLine, StackFrame
from monitord.store import logs
from monitord.store.logs import LogReader
from monitord.store.pool import Store


SQL = asyncpg.Connection
Write = Callable[[Sequence[Frame]], Awaitable[None]]

NOW = float(int(time.time()))
TRACE = "0123456789abcdef0123456789abcdef"


def log(age: float, message: str = "x", level: str = "INFO", logger: str = "shop.a") -> Log:
    return Log(NOW - age, "shop", level, message, logger)


def frame(seq: int, *records: Log) -> Frame:
    return Frame(7, seq, Batch(NOW, logs=records))


async def pages(store: Store, limit: int, **wanted: object) -> list[logs.LogPage]:
    """Read page after page until there is no next one."""
    found, cursor = [], None
    while True:
        page = await LogReader(store).page(before=cursor, limit=limit, **wanted)  # type: ignore[arg-type]
        found.append(page)
        cursor = page.next
        if cursor is None:
            return found


async def test_line_comes_back_as_it_was(store: Store, write: Write) -> None:
    """
    Every part of a record is read as it was sent, and the cursor is its identity.
    """
    sent = Log(
        NOW + 0.25,
        "shop",
        "CRITICAL",
        "it broke",
        "shop.orders",
        TRACE,
        fields={"a": [1, {"b": None}]},
        error=ErrorInfo("ValueError", "no", [StackFrame("shop/a.py", 7, "buy", "x = 1", False)]),
    )
    await write([frame(3, log(5), sent)])

    page = await LogReader(store).page(limit=1)

    assert page.lines[0].log == sent
    assert page.lines[0].cursor == "7-3-1"


@pytest.mark.parametrize("limit", [1, 7, 30, 1_000])
async def test_pages_hold_every_line_once(store: Store, write: Write, limit: int) -> None:
    """
    Pages of any size give every line once, newest first, lines of one moment in order of arrival,
    over hours and days without a line.
    """
    ages = [0, 0, 0, 1, 5, 5, 70, 3_000, 3_000, 90_000, 90_000, 800_000]
    await write(
        [frame(seq, log(age, f"{seq}.0"), log(age, f"{seq}.1")) for seq, age in enumerate(ages, 1)]
    )

    found = [line for page in await pages(store, limit) for line in page.lines]

    keys = [(line.log.time, line.seq, line.index) for line in found]
    assert keys == sorted(keys, reverse=True)
    assert sorted(line.log.message for line in found) == sorted(
        f"{seq}.{n}" for seq in range(1, 13) for n in (0, 1)
    )


async def test_level_and_time_narrow_the_page(store: Store, write: Write) -> None:
    """
    A page shows the level asked for and worse, from `since` on and before `until`.
    """
    records = [log(age, level=level) for level in LEVELS for age in (10, 20, 30)]
    await write([frame(1, *records)])

    (page,) = await pages(store, 100, level_at_least=17, since=NOW - 20, until=NOW - 10)

    assert [(line.log.level, NOW - line.log.time) for line in page.lines] == [
        ("CRITICAL", 20),
        ("ERROR", 20),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("orders", ["GET /orders/42 100%", "ORDERS_total\\x"]),
        ("ORDERS", ["GET /orders/42 100%", "ORDERS_total\\x"]),
        ("rders/4", ["GET /orders/42 100%"]),
        ("100%", ["GET /orders/42 100%"]),
        ("s_t", ["ORDERS_total\\x"]),
        ("l\\x", ["ORDERS_total\\x"]),
        ("%", ["GET /orders/42 100%"]),
        ("_", ["ORDERS_total\\x"]),
        ("\\", ["ORDERS_total\\x"]),
        ("bank.audit", ["by logger"]),
        (TRACE, ["by trace"]),
        (TRACE[:5].upper(), ["by trace"]),
        (TRACE[1:], []),
        ("KeyErr", ["by exception"]),
        ("missing key", ["by exception"]),
        ("'; DROP TABLE logs; --", []),
        ("\0", []),
    ],
)
async def test_text_is_looked_for_as_it_stands(
    store: Store, write: Write, text: str, found: list[str]
) -> None:
    """
    Parts of words and paths are found in upper or lower case; wildcards and quotes are text.
    """
    await write(
        [
            frame(
                1,
                log(1, "GET /orders/42 100%"),
                log(2, "ORDERS_total\\x"),
                log(3, "by logger", logger="bank.audit"),
                Log(NOW - 4, "shop", "INFO", "by trace", trace_id=TRACE),
                Log(
                    NOW - 5,
                    "shop",
                    "INFO",
                    "by exception",
                    error=ErrorInfo("KeyError", "missing key"),
                ),
            )
        ]
    )

    page = await LogReader(store).page(text=text)

    assert [line.log.message for line in page.lines] == found


FIELDS = {
    "path": "/orders/4711",
    "order_id": 90210,
    "ratio": 0.25,
    "tiny": 1e-7,
    "huge": 1e22,
    "zero": -0.0,
    "paid": True,
    "none": None,
    "quoted": 'say "hi"',
    "windows": "C:\\temp\\new",
    "lines": "first\nsecond\ttab\x01",
    "city": "Ärger in KÖLN",
    "cyrillic": "Ошибка",
    "nested": [{"sku-Größe": ["<b>", "100%_x"]}],
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/orders/4711", True),
        ("ORDERS/47", True),
        ("90210", True),
        ("order_id", True),
        ("orderxid", False),
        ("0.25", True),
        ("0.0000001", True),
        ("10000000000000000000000", True),
        ("1e", False),
        ("-0", False),
        ("true", True),
        ("null", False),
        ('say "hi"', True),
        ('order_id":', False),
        ('"path"', False),
        ("{", False),
        (", ", False),
        ("temp\\new", True),
        ("temp\\\\new", False),
        ("\\n", True),
        ("\\t", True),
        ("\\u0001", False),
        ("u0001", False),
        ("first\nsecond", True),
        ("ärger", True),
        ("ÄRGER", True),
        ("köln", True),
        ("Ärger in Köln", True),
        ("ошибка", True),
        ("ОШИБКА", True),
        ("sku-größe", True),
        ("u00e4", False),
        ("<B>", True),
        ("100%_X", True),
        ("100__x", False),
    ],
)
async def test_fields_are_searched_alike_live_and_stored(
    store: Store, write: Write, text: str, found: bool
) -> None:
    """
    Keys and values of the fields are found as they were logged, at any depth, and nothing of how
    they are kept: the live log's filter and the search of the store say the same.
    """
    record = Log(NOW - 1, "shop", "INFO", "by fields", fields=FIELDS)
    await write([frame(1, record)])

    page = await LogReader(store).page(text=text)

    assert bool(page.lines) is found
    assert line_filter(None, text).keeps(LogLine(7, 1, 0, record)) is found


async def test_cursor_of_a_line_that_is_gone_says_so(store: Store, write: Write, sql: SQL) -> None:
    """
    A page before a line that is not stored any more begins with the next older one, and says it.
    """
    await write([frame(1, log(30, "a"), log(20, "b"), log(10, "c"))])
    await sql.execute("DELETE FROM logs WHERE message = 'b'")

    page = await LogReader(store).page(before="7-1-1")
    before_all = await LogReader(store).page(before="6-1-1")

    assert [line.log.message for line in page.lines] == ["a"]
    assert page.gap
    assert (before_all.lines, before_all.next, before_all.gap) == ([], None, True)


@pytest.mark.parametrize("cursor", ["", "x", "1-2", "1-2-3-4", "-1-2-3", "1-2-٣", "1-2-2147483648"])
def test_cursor_that_is_none_is_refused(cursor: str) -> None:
    """
    Anything but three numbers in range is refused in one line.
    """
    with pytest.raises(ValueError, match="expected writer-seq-index"):
        logs.parse(cursor)


async def test_search_that_takes_too_long_goes_on_from_where_it_was(
    store: Store, write: Write, sql: SQL
) -> None:
    """
    When its time is up a search answers with what it has and a cursor to go on from.
    """
    old = 5 * 86_400
    await write([frame(1, log(10, "needle one"), log(7_200, "hay"), log(old, "needle two"))])
    day = await sql.fetchval("SELECT min(tableoid::regclass::text) FROM logs")
    async with sql.transaction():
        await sql.execute(f"LOCK TABLE {day}")  # reading that day now takes for ever

        page = await LogReader(store).page(text="needle", limit=2)

        assert [line.log.message for line in page.lines] == ["needle one"]
        assert page.searched_since is not None
        assert NOW - old < page.searched_since <= NOW - 7_200
        with pytest.raises(StoreUnreachable, match="no answer within"):
            await LogReader(store).page(until=NOW - old + 60)

    after = await LogReader(store).page(before=page.next, text="needle")

    assert page.next == "7-1-1"
    assert [line.log.message for line in after.lines] == ["needle two"]


async def test_page_reads_only_the_days_it_needs(store: Store, write: Write, sql: SQL) -> None:
    """
    The plan of a slice reads the partition of its day and no other.
    """
    await write([frame(1, *(log(day * 86_400) for day in range(5)))])
    plan = await sql.fetch(
        "EXPLAIN SELECT * FROM logs WHERE host_id = 1 AND at >= now() - interval '15 min'"
        " AND at < now() ORDER BY at DESC LIMIT 10"
    )
    days = await sql.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'logs'::regclass")

    read = {word for row in plan for word in row[0].split() if word.startswith("logs_2")}
    assert days >= 5
    assert len({name[:13] for name in read}) <= 2
