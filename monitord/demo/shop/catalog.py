"""What visitors look at: the front page, categories, products, reviews and the search."""

from __future__ import annotations

import logging

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from monitord.demo.shop.services import body, page_number, services, signed_in


log = logging.getLogger("shop.catalog")

PAGE = 24

FRONT = """
SELECT products.id, products.title, products.price_cents, count(*) AS sold
FROM (SELECT id FROM orders ORDER BY id DESC LIMIT 2000) AS recent
JOIN order_lines ON order_lines.order_id = recent.id
JOIN products ON products.id = order_lines.product_id
GROUP BY products.id
ORDER BY sold DESC, products.id
LIMIT 12
"""
LISTING = """
SELECT products.id, products.title, products.price_cents
FROM products
JOIN categories ON categories.id = products.category_id
WHERE categories.slug = $1
ORDER BY products.id
LIMIT $2 OFFSET $3
"""
PRODUCT = """
SELECT products.id, products.title, products.description, products.price_cents, products.stock,
       categories.slug AS category
FROM products
JOIN categories ON categories.id = products.category_id
WHERE products.id = $1
"""
# Without an index on product_id every page of reviews reads all reviews of the shop.
REVIEWS = """
SELECT reviews.rating, reviews.body, customers.name
FROM reviews
JOIN customers ON customers.id = reviews.customer_id
WHERE reviews.product_id = $1
ORDER BY reviews.written_at DESC
LIMIT $2 OFFSET $3
"""
ADD_REVIEW = """
INSERT INTO reviews (product_id, customer_id, rating, body)
SELECT id, $2, $3, $4
FROM products
WHERE id = $1
RETURNING id
"""
# Nobody told the author of this one about full text search.
SEARCH = """
SELECT products.id, products.title, products.price_cents, count(reviews.id) AS mentions
FROM products
JOIN reviews ON reviews.product_id = products.id
WHERE reviews.body || products.title || products.description ILIKE '%' || $1 || '%'
GROUP BY products.id
ORDER BY mentions DESC, products.id
LIMIT $2
"""
SPENT = """
SELECT coalesce(sum(total_cents), 0) AS cents, count(*) AS orders
FROM orders
WHERE customer_id = $1
"""
RECOMMENDED = """
SELECT id, title, price_cents
FROM products
ORDER BY abs(price_cents - $1), id
LIMIT 8
"""


async def front(request: Request) -> JSONResponse:
    """The front page: what sells best just now."""

    async def make() -> list[dict[str, Any]]:
        return [dict(row) for row in await services(request).database.fetch(FRONT)]

    return JSONResponse(await services(request).cache.get_or_make("front:page", 15, make))


async def listing(request: Request) -> JSONResponse:
    """One page of a category; 404 when there is no such category or page."""
    slug, page = request.path_params["category"], page_number(request)

    async def make() -> list[dict[str, Any]] | None:
        rows = await services(request).database.fetch(LISTING, slug, PAGE, (page - 1) * PAGE)
        return [dict(row) for row in rows] or None

    found = await services(request).cache.get_or_make(f"listing:{slug}:{page}", 300, make)
    if found is None:
        raise HTTPException(404, "no such category")
    return JSONResponse(found)


async def product(request: Request) -> JSONResponse:
    """One product; 404 when there is none."""
    number = request.path_params["product_id"]

    async def make() -> dict[str, Any] | None:
        row = await services(request).database.fetchrow(PRODUCT, number)
        return dict(row) if row else None

    found = await services(request).cache.get_or_make(f"product:{number}", 900, make)
    if found is None:
        raise HTTPException(404, "no such product")
    return JSONResponse(found)


async def reviews(request: Request) -> JSONResponse:
    """One page of a product's reviews."""
    number, page = request.path_params["product_id"], page_number(request)
    rows = await services(request).database.fetch(REVIEWS, number, PAGE, (page - 1) * PAGE)
    return JSONResponse([dict(row) for row in rows])


async def add_review(request: Request) -> JSONResponse:
    """Take a review of a signed-in customer; 422 when it makes no sense."""
    customer = await signed_in(request)
    data = await body(request, rating=int, body=str)
    if not 1 <= data["rating"] <= 5 or not data["body"].strip():
        raise HTTPException(422, "rating: expected 1 to 5; body: expected some text")
    number = request.path_params["product_id"]
    review = await services(request).database.fetchval(
        ADD_REVIEW, number, customer, data["rating"], data["body"][:2000]
    )
    if review is None:
        raise HTTPException(404, "no such product")
    log.info("review written", extra={"product_id": number, "rating": data["rating"]})
    return JSONResponse({"id": review}, 201)


async def search(request: Request) -> JSONResponse:
    """Products by a word in their texts or reviews; slow, since it reads all of both."""
    word = request.query_params.get("q", "").strip()
    if len(word) < 3:
        raise HTTPException(400, "q: expected at least 3 letters")
    rows = await services(request).database.fetch(SEARCH, word, PAGE)
    if not rows:
        log.info("search found nothing", extra={"query": word})
    return JSONResponse([dict(row) for row in rows])


async def recommendations(request: Request) -> JSONResponse:
    """Products about as dear as the customer's usual order; it forgets who never ordered."""
    customer = request.path_params["customer_id"]

    async def make() -> list[dict[str, Any]]:
        (spent,) = await services(request).database.fetch(SPENT, customer)
        usual_cents = spent["cents"] // spent["orders"]
        rows = await services(request).database.fetch(RECOMMENDED, usual_cents)
        return [dict(row) for row in rows]

    key = f"recommendations:{customer}"
    return JSONResponse(await services(request).cache.get_or_make(key, 120, make))
