"""The payment provider, which lives elsewhere: it is slow at times, declines cards and hangs up."""

from __future__ import annotations

import asyncio
import logging
import random
import time
import uuid

from collections import deque
from typing import Any

from monitord import emit


log = logging.getLogger("shop.payments")

ATTEMPTS = 2
DOWN_AFTER = 5
DOWN_WITHIN_SECONDS = 60.0

# Card number -> what the provider does with it. All other cards are charged.
DECLINED = {
    "4000000000000002": "insufficient funds",
    "4000000000000069": "card expired",
}
HANGS_UP = "4000000000000341"
ANSWERS_NONSENSE = "4000000000000119"


class PaymentError(Exception):
    """The money did not move."""


class CardDeclined(PaymentError):
    """The customer's bank said no."""


class ProviderError(PaymentError):
    """The provider did not do its part; the customer did nothing wrong."""


class Provider:
    """One payment provider; it remembers its recent failures to say when it is down."""

    def __init__(self) -> None:
        self._failures: deque[float] = deque(maxlen=DOWN_AFTER)

    async def charge(self, card: str, cents: int) -> str:
        """
        Charge the card and return the receipt's number. Raises CardDeclined and ProviderError.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return receipt(await ask(card, cents))
            except ConnectionError as error:
                if attempt == ATTEMPTS:
                    self._note_failure()
                    raise ProviderError(f"no answer after {ATTEMPTS} attempts") from error
                log.warning(
                    "payment provider hung up, trying again",
                    extra={"attempt": attempt, "cents": cents},
                )
        raise AssertionError("the last attempt returns or raises")

    def _note_failure(self) -> None:
        now = time.monotonic()
        self._failures.append(now)
        if len(self._failures) == DOWN_AFTER and now - self._failures[0] < DOWN_WITHIN_SECONDS:
            log.critical(
                "payment provider is down",
                extra={"failures": DOWN_AFTER, "within_seconds": round(now - self._failures[0])},
            )
            self._failures.clear()


def receipt(answer: dict[str, Any]) -> str:
    """
    Read the receipt's number from the provider's answer. Raises CardDeclined and ProviderError.
    """
    if answer.get("status") == "declined":
        raise CardDeclined(answer["reason"])
    try:
        return str(answer["receipt"]["id"])
    except KeyError as error:
        raise ProviderError("the provider's answer has no receipt") from error


async def ask(card: str, cents: int) -> dict[str, Any]:
    """
    Send one request to the provider. Raises ConnectionResetError when it hangs up.
    """
    # Recorded by hand, as for any library without a hook; a card's number is nobody's business.
    about = {"server.address": "payments.example", "payment.cents": cents}
    with emit.span("charge card", "client", about) as step:
        answer = await pay(card, cents)
        step.set("payment.status", answer["status"])
        return answer


async def pay(card: str, cents: int) -> dict[str, Any]:
    """
    Do what the provider does with this card. Raises ConnectionResetError.
    """
    # The network and the bank: most answers in 40 ms, one in a hundred in a quarter of a second.
    await asyncio.sleep(min(0.5, random.lognormvariate(-3.2, 0.75)))
    if card == HANGS_UP:
        raise ConnectionResetError(104, "Connection reset by peer")
    if reason := DECLINED.get(card):
        return {"status": "declined", "reason": reason}
    if card == ANSWERS_NONSENSE:
        return {"status": "charged", "amount": cents}
    return {"status": "charged", "amount": cents, "receipt": {"id": f"rc_{uuid.uuid4().hex}"}}
