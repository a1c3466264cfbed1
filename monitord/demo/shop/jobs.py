"""What the shop does without being asked: it mails receipts and throws old orders away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg

from redis.exceptions import RedisError

from monitord import emit
from monitord.demo.shop import mail
from monitord.demo.shop.cache import Cache
from monitord.demo.shop.services import Services


log = logging.getLogger("shop.jobs")

Work = Callable[[Services], Awaitable[None]]
FAILURES = (OSError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError, mail.MailError)

# Orders whose receipt is to be mailed, oldest first.
DUE = "receipts:due"
MOST_RECEIPTS = 200
RECEIPTS_SECONDS = 10.0

KEEP_ORDERS = 40_000
KEEP_REVIEWS = 120_000
TIDY_SECONDS = 60.0

BUYER = """
SELECT customers.email
FROM orders
JOIN customers ON customers.id = orders.customer_id
WHERE orders.id = $1
"""
TIDY = {
    "orders": (
        "DELETE FROM orders WHERE id <= (SELECT id FROM orders ORDER BY id DESC OFFSET $1 LIMIT 1)",
        KEEP_ORDERS,
    ),
    "reviews": (
        "DELETE FROM reviews"
        " WHERE id <= (SELECT id FROM reviews ORDER BY id DESC OFFSET $1 LIMIT 1)",
        KEEP_REVIEWS,
    ),
}


@contextlib.asynccontextmanager
async def at_work(shop: Services) -> AsyncIterator[None]:
    """
    Do the shop's jobs for as long as the block runs.
    """
    jobs = [
        asyncio.create_task(again_and_again(send_receipts, RECEIPTS_SECONDS, shop)),
        asyncio.create_task(again_and_again(tidy_up, TIDY_SECONDS, shop)),
    ]
    try:
        yield
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)


async def again_and_again(work: Work, seconds: float, shop: Services) -> None:
    """Run a job now and then; one that fails is logged, and tried again in its time."""
    while True:
        with emit.traced():  # the run, and what is logged of it, are one trace
            try:
                await work(shop)
            except FAILURES:
                log.exception("job failed", extra={"job": work.__name__})
        await asyncio.sleep(seconds)


@emit.job("send receipts")
async def send_receipts(shop: Services) -> None:
    """
    Mail what is due, but of orders thrown away. Raises MailError: the rest stays due.
    """
    sent = 0
    while sent < MOST_RECEIPTS and (order := await shop.cache.client.lindex(DUE, 0)):
        if buyer := await shop.database.fetchval(BUYER, int(order)):
            await mail.send(buyer, int(order), time.time())
        await shop.cache.client.lpop(DUE)
        sent += 1
    emit.default().count("receipts.sent", sent)


async def owe_receipt(cache: Cache, order: int) -> None:
    """Have a receipt mailed by the next run; an order is good without one, too."""
    try:
        await cache.client.rpush(DUE, order)
    except RedisError as error:
        log.warning("no receipt", extra={"order_id": order, "reason": str(error)})


@emit.job("tidy up")
async def tidy_up(shop: Services) -> None:
    """Keep the shop the size of a demonstration, however long it runs."""
    for table, (statement, keep) in TIDY.items():
        done = await shop.database.execute(statement, keep)
        if not done.endswith(" 0"):
            log.info("tidied up", extra={"table": table, "rows": int(done.split()[-1])})
