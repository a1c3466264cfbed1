"""What one person does in the shop, from the front page to the receipt, mistakes included."""

from __future__ import annotations

import random
import time

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from monitord import emit
from monitord.demo.shop.payments import ANSWERS_NONSENSE, DECLINED, HANGS_UP


CATEGORIES = ("kitchen", "garden", "books", "tools", "toys", "lamps", "bicycles", "audio")
WORDS = ("copper", "kettle", "rain", "late", "sturdy", "saddle", "quiet", "submarine")
PRODUCTS = 1500
CUSTOMERS = 4000
PASSWORD = "opensesame"

# Card -> how often, in a thousand; the good one is all the rest.
GOOD_CARD = "4242424242424242"
CARDS = {**dict.fromkeys(DECLINED, 40), HANGS_UP: 20, ANSWERS_NONSENSE: 15}
# Every ten minutes one bank is out of order for a while, and all its customers' cards with it.
OUTAGE_EVERY_SECONDS = 600.0
OUTAGE_SECONDS = 45.0
OUTAGE_CARDS = {HANGS_UP: 450}


class Answer(Struct, frozen=True):
    """A response: its status and its JSON, None when it has none."""

    status: int
    data: Any = None


# method, path, session token, JSON body -> the answer
Send = Callable[[str, str, str, Any], Awaitable[Answer]]


class Visitor:
    """
    One visit. *send* sends a request when it is its turn; what comes back decides what follows.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._token = ""
        self._customer = 0

    async def visit(self) -> None:
        """Look around; some sign in, some of them buy."""
        await self._get("/")
        await self._look_around()
        if random.random() < 0.4 and await self._sign_in():
            await self._shop()
            if random.random() < 0.3:
                await self._send("DELETE", "/session", self._token, None)

    async def _look_around(self) -> None:
        for _ in range(random.randint(1, 5)):
            choice = random.random()
            if choice < 0.03:
                await self._get(f"/search?q={random.choice(WORDS)}")
            elif choice < 0.35:
                await self._get(f"/categories/{random.choice(CATEGORIES)}?page={page()}")
            elif choice < 0.37:
                await self._get(
                    random.choice(("/products/999999", "/favicon.ico", "/wp-login.php"))
                )
            else:
                number = popular_product()
                await self._get(f"/products/{number}")
                if random.random() < 0.15:
                    await self._get(f"/products/{number}/reviews?page={page()}")

    async def _sign_in(self) -> bool:
        customer = random.randint(1, CUSTOMERS)
        for password in ("opensesam", PASSWORD) if random.random() < 0.06 else (PASSWORD,):
            data = {"email": f"customer{customer}@shop.example", "password": password}
            answer = await self._send("POST", "/session", "", data)
            if answer.status == 201:
                self._token, self._customer = answer.data["token"], answer.data["customer_id"]
        return bool(self._token)

    async def _shop(self) -> None:
        if random.random() < 0.25:
            await self._get(f"/customers/{self._customer}/recommendations")
        for _ in range(random.randint(0, 4)):
            number = popular_product()
            await self._get(f"/products/{number}")
            data = {"quantity": random.randint(1, 3)}
            await self._send("PUT", f"/cart/{number}", self._token, data)
        await self._get("/cart")
        if random.random() < 0.6:
            await self._buy()
        if random.random() < 0.12:
            await self._get("/orders")
        if random.random() < 0.08:
            await self._review()

    async def _buy(self) -> None:
        for _ in range(2):
            card = draw_card(time.time())
            answer = await self._send("POST", "/orders", self._token, {"card": card})
            if answer.status == 201:
                await self._get(f"/orders/{answer.data['id']}")
            if answer.status != 402:
                return

    async def _review(self) -> None:
        data = {"rating": random.choice((1, 3, 4, 4, 5, 5, 5, 11)), "body": "As described. " * 5}
        path = f"/products/{popular_product()}/reviews"
        await self._send("POST", path, self._token, data)

    async def _get(self, path: str) -> Answer:
        return await self._send("GET", path, self._token, None)


async def office_round(send: Send) -> None:
    """What the shop's own people ask for now and then: a delivery comes, somebody wants figures."""
    await (book_delivery(send) if random.random() < 0.7 else read_sales(send))


@emit.job("book delivery")
async def book_delivery(send: Send) -> None:
    """Book what was delivered, with some products of which much is sold."""
    delivery = random.sample(range(1, PRODUCTS + 1), 4) + random.sample(range(1, 40), 8)
    await send("POST", "/office/restock", "", {"products": delivery, "quantity": 50})


@emit.job("read sales")
async def read_sales(send: Send) -> None:
    """Read the report."""
    await send("GET", "/office/sales", "", None)


def popular_product() -> int:
    """Return a product's number; few are asked for often, many rarely (a power law)."""
    return int(PRODUCTS * random.random() ** 4) + 1


def draw_card(at: float) -> str:
    """Return the card somebody pays with at Unix time *at*."""
    outage = at % OUTAGE_EVERY_SECONDS < OUTAGE_SECONDS
    cards = {**CARDS, **(OUTAGE_CARDS if outage else {})}
    cards[GOOD_CARD] = 1000 - sum(cards.values())
    return random.choices(list(cards), list(cards.values()))[0]


def page() -> int:
    """Return a page's number, mostly the first."""
    return min(int(random.expovariate(1.2)) + 1, 5)
