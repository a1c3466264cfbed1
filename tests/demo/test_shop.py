"""The sample shop on real servers: what every endpoint answers, what monitord hears of it."""

import uuid

from typing import Any

import aiohttp
import asyncpg
import pytest

from monitord.demo.databases import SHOP, STORE, WATCHER, make_databases
from monitord.demo.shop.payments import ANSWERS_NONSENSE, DECLINED, HANGS_UP
from monitord.embedded import EmbeddedPostgres

from .conftest import Ear


GOOD_CARD = "4242424242424242"
NEVER_ORDERED = 3990


async def sign_in(web: aiohttp.ClientSession, number: int = 17) -> dict[str, str]:
    """Return the headers of a signed-in customer."""
    data = {"email": f"customer{number}@shop.example", "password": "opensesame"}
    async with web.post("/session", json=data) as response:
        assert response.status == 201
        return {"Authorization": f"Bearer {(await response.json())['token']}"}


async def fill_cart(web: aiohttp.ClientSession, headers: dict[str, str], *products: int) -> None:
    for product in products:
        async with web.put(f"/cart/{product}", json={"quantity": 1}, headers=headers) as response:
            assert response.status == 204


async def ask(
    web: aiohttp.ClientSession, method: str, path: str, trace: str = "", **options: Any
) -> tuple[int, Any]:
    headers = options.pop("headers", {}) | ({"X-Trace-ID": trace} if trace else {})
    async with web.request(method, path, headers=headers, **options) as response:
        return response.status, await response.json() if response.status != 204 else None


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/categories/kitchen?page=2", 200),
        ("/categories/kitchen?page=two", 400),
        ("/categories/weapons", 404),
        ("/products/17", 200),
        ("/products/999999", 404),
        ("/products/17/reviews", 200),
        ("/search?q=copper", 200),
        ("/search?q=submarine", 200),
        ("/search?q=x", 400),
        ("/customers/17/recommendations", 200),
        ("/office/sales", 200),
        ("/cart", 401),
        ("/orders", 401),
        ("/orders/1", 401),
        ("/healthz", 200),
    ],
)
async def test_what_anybody_may_ask(web: aiohttp.ClientSession, path: str, status: int):
    """
    A visitor who is not signed in gets this status.
    """
    async with web.get(path) as response:
        assert response.status == status


async def test_wrong_password(web: aiohttp.ClientSession):
    """
    A wrong password opens no session.
    """
    data = {"email": "customer17@shop.example", "password": "opensesam"}

    status, answer = await ask(web, "POST", "/session", json=data)

    assert status == 401
    assert "token" not in answer


async def test_an_order_from_cart_to_receipt(web: aiohttp.ClientSession):
    """
    A good card turns the cart into an order that its customer, and nobody else, can see.
    """
    headers = await sign_in(web, 21)
    await fill_cart(web, headers, 31, 32)

    status, order = await ask(web, "POST", "/orders", headers=headers, json={"card": GOOD_CARD})

    assert status == 201
    _, shown = await ask(web, "GET", f"/orders/{order['id']}", headers=headers)
    assert [line["product_id"] for line in shown["lines"]] == [31, 32]
    assert shown["total_cents"] == sum(line["price_cents"] for line in shown["lines"])
    _, mine = await ask(web, "GET", "/orders", headers=headers)
    assert mine[0] == shown
    assert await ask(web, "GET", "/cart", headers=headers) == (200, {})
    other = await sign_in(web, 22)
    assert (await ask(web, "GET", f"/orders/{order['id']}", headers=other))[0] == 403
    assert (await ask(web, "GET", "/orders/999999999", headers=headers))[0] == 404


@pytest.mark.parametrize(
    ("card", "status"),
    [*((card, 402) for card in DECLINED), (HANGS_UP, 500), (ANSWERS_NONSENSE, 500)],
)
async def test_a_payment_that_fails(
    web: aiohttp.ClientSession, demo_postgres: EmbeddedPostgres, card: str, status: int
):
    """
    Whatever the payment fails of, the stock is given back and the cart is kept.
    """
    headers = await sign_in(web, 23)
    await fill_cart(web, headers, 41)
    before = await stock(demo_postgres, 41)

    answered, _ = await ask(web, "POST", "/orders", headers=headers, json={"card": card})

    assert answered == status
    assert await stock(demo_postgres, 41) == before
    assert await ask(web, "GET", "/cart", headers=headers) == (200, {"41": 1})


async def stock(server: EmbeddedPostgres, product: int) -> int:
    connection = await asyncpg.connect(server.dsn(SHOP))
    try:
        return await connection.fetchval("SELECT stock FROM products WHERE id = $1", product)
    finally:
        await connection.close()


async def test_out_of_stock(web: aiohttp.ClientSession, demo_postgres: EmbeddedPostgres):
    """
    What is sold out cannot be ordered until it is restocked.
    """
    connection = await asyncpg.connect(demo_postgres.dsn(SHOP))
    await connection.execute("UPDATE products SET stock = 0 WHERE id = 51")
    await connection.close()
    headers = await sign_in(web, 24)
    await fill_cart(web, headers, 51)
    order = {"headers": headers, "json": {"card": GOOD_CARD}}

    refused, _ = await ask(web, "POST", "/orders", **order)
    await ask(web, "POST", "/office/restock", json={"products": [51], "quantity": 5})
    taken, _ = await ask(web, "POST", "/orders", **order)

    assert (refused, taken) == (409, 201)


async def test_empty_cart(web: aiohttp.ClientSession):
    """
    Nothing cannot be ordered.
    """
    headers = await sign_in(web, 25)

    status, _ = await ask(web, "POST", "/orders", headers=headers, json={"card": GOOD_CARD})

    assert status == 409


@pytest.mark.parametrize(
    ("product", "data", "status"),
    [
        (17, {"rating": 5, "body": "Sturdy."}, 201),
        (17, {"rating": 11, "body": "Sturdy."}, 422),
        (17, {"rating": 5}, 422),
        (999999, {"rating": 5, "body": "Sturdy."}, 404),
    ],
)
async def test_a_review(web: aiohttp.ClientSession, product: int, data: Any, status: int):
    """
    A review is taken when it makes sense.
    """
    headers = await sign_in(web)

    answered, _ = await ask(web, "POST", f"/products/{product}/reviews", headers=headers, json=data)

    assert answered == status


async def test_signing_out(web: aiohttp.ClientSession):
    """
    A closed session opens nothing any more.
    """
    headers = await sign_in(web)

    assert (await ask(web, "DELETE", "/session", headers=headers))[0] == 204
    assert (await ask(web, "GET", "/cart", headers=headers))[0] == 401


async def test_requests_are_labelled_by_their_template(web: aiohttp.ClientSession, ear: Ear):
    """
    monitord hears of a request by its route's template, with status, duration and trace id.
    """
    trace = uuid.uuid4().hex

    await ask(web, "GET", "/products/18", trace)

    event = await ear.hear(lambda e: e["type"] == "request" and e.get("trace_id") == trace)
    assert (event["service"], event["method"], event["status"]) == ("shop", "GET", 200)
    assert event["route"] == "/products/{product_id}"
    assert event["duration_ms"] > 0


async def test_a_failure_brings_its_traceback(web: aiohttp.ClientSession, ear: Ear):
    """
    An exception nobody caught reaches monitord with its frames: in the request and in a log line.
    """
    trace = uuid.uuid4().hex

    status, _ = await ask(web, "GET", f"/customers/{NEVER_ORDERED}/recommendations", trace)

    assert status == 500
    request = await ear.hear(lambda e: e["type"] == "request" and e.get("trace_id") == trace)
    assert request["error"]["type"].endswith("ZeroDivisionError")
    assert request["error"]["frames"][-1]["function"].endswith("make")
    line = await ear.hear(lambda e: e["type"] == "log" and e.get("trace_id") == trace)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "shop", "request failed")
    assert line["error"]["type"].endswith("ZeroDivisionError")


async def test_log_lines_carry_their_context(web: aiohttp.ClientSession, ear: Ear):
    """
    A log line of the shop keeps its fields and the trace of its request.
    """
    headers = await sign_in(web, 26)
    await fill_cart(web, headers, 61)
    trace = uuid.uuid4().hex

    await ask(web, "POST", "/orders", trace, headers=headers, json={"card": GOOD_CARD})

    line = await ear.hear(lambda e: e["type"] == "log" and e.get("trace_id") == trace)
    assert (line["level"], line["logger"]) == ("INFO", "shop.checkout")
    assert line["message"] == "order placed"
    assert line["fields"]["customer_id"] == 26


async def test_databases_are_made_once(demo_postgres: EmbeddedPostgres):
    """
    A second start finds everything there and changes nothing.
    """
    await make_databases(demo_postgres)

    connection = await asyncpg.connect(demo_postgres.dsn())
    try:
        owners = await connection.fetch(
            "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = ANY($1)",
            [STORE, SHOP],
        )
    finally:
        await connection.close()
    assert {tuple(row) for row in owners} == {(STORE, STORE), (SHOP, SHOP)}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM public.customers",
        "CREATE TABLE public.mine (id int)",
        "SELECT pg_stat_reset()",
        "SELECT pg_read_file('PG_VERSION')",
    ],
)
async def test_the_watcher_may_only_look(
    shop_url: str, demo_postgres: EmbeddedPostgres, statement: str
):
    """
    The role monitord watches with reads statistics, no row, and changes nothing.
    """
    connection = await asyncpg.connect(demo_postgres.dsn(SHOP, WATCHER))

    try:
        with pytest.raises(
            (asyncpg.InsufficientPrivilegeError, asyncpg.ReadOnlySQLTransactionError)
        ):
            await connection.execute(statement)
        texts = await connection.fetch("SELECT query FROM public.pg_stat_statements")
    finally:
        await connection.close()
    assert all(row["query"] != "<insufficient privilege>" for row in texts)
