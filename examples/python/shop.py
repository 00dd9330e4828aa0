"""A made-up shop, in memory. It knows nothing of keys: by the time a request arrives here it has been authorized, and
the decision says whose data it may see.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Work = Callable[[Any, "dict[str, Any]", Any], Response]

MADE_UP = json.loads((Path(__file__).parent.parent / "server" / "shop.json").read_text(encoding="utf-8"))
_shops: dict[str, dict[str, Any]] = {}


def routes() -> list[Route]:
    """The routes of bpos's built-in policy."""
    found = [
        Route("/api/v1/products/bulk", served(update_products), methods=["PATCH"]),
        Route("/api/v1/inventory/adjustments", served(adjust_stock), methods=["POST"]),
        Route("/api/v1/customers/{id:int}/loyalty", served(part("customers", "loyalty"))),
        Route("/api/v1/sales/{id:int}/items", served(part("sales", "items"))),
    ]
    for table, members in (("customers", {"name", "email"}), ("webhooks", {"url", "event"})):
        found.append(Route(f"/api/v1/{table}", served(create(table, members)), methods=["POST"]))
        found.append(Route(f"/api/v1/{table}/{{id:int}}", served(update(table, members)), methods=["PUT", "PATCH"]))
    found.append(Route("/api/v1/webhooks/{id:int}", served(remove("webhooks")), methods=["DELETE"]))
    for table in MADE_UP:
        found.append(Route(f"/api/v1/{table}", served(everything(table))))
        found.append(Route(f"/api/v1/{table}/{{id:int}}", served(one(table))))
    return found


def served(work: Work) -> Callable[[Request], Awaitable[Response]]:
    """Works on the shop of the store that the key belongs to."""

    async def serve(request: Request) -> Response:
        store = request.scope["bpos.decision"].store
        shop = _shops.setdefault(store, copy.deepcopy(MADE_UP))
        try:
            body = json.loads(await request.body() or "null")
            return work(shop, request.path_params, body)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise HTTPException(422, "The body is not as it has to be.") from error

    return serve


def everything(table: str) -> Work:
    return lambda shop, path, body: JSONResponse(shop[table])


def one(table: str) -> Work:
    return lambda shop, path, body: JSONResponse(row(shop, table, path["id"]))


def part(table: str, member: str) -> Work:
    return lambda shop, path, body: JSONResponse(row(shop, table, path["id"])[member])


def create(table: str, members: set[str]) -> Work:
    return lambda shop, path, body: insert(shop, table, texts(body, members))


def update(table: str, members: set[str]) -> Work:
    def work(shop: Any, path: dict[str, Any], body: Any) -> Response:
        changed = row(shop, table, path["id"])
        changed.update(texts(body, members))
        return JSONResponse(changed)

    return work


def remove(table: str) -> Work:
    def work(shop: Any, path: dict[str, Any], body: Any) -> Response:
        shop[table].remove(row(shop, table, path["id"]))
        return Response(status_code=204)

    return work


def update_products(shop: Any, path: dict[str, Any], body: Any) -> Response:
    """`{"products": [{"id": 1, "price_cents": 450, "stock": 12}]}`: all are changed, or none."""
    places = (("products", "price_cents"), ("inventory", "stock"))
    changes = [
        (row(shop, table, product["id"]), member, whole(product[member]))
        for product in body["products"]
        for table, member in places
        if member in product
    ]
    for changed, member, value in changes:
        changed[member] = value
    return JSONResponse({"updated": len(body["products"])})


def adjust_stock(shop: Any, path: dict[str, Any], body: Any) -> Response:
    """`{"product_id": 1, "change": -2, "reason": "Breakage"}`: moves a product's stock level, and keeps a note of
    it."""
    level = row(shop, "inventory", body["product_id"])
    level["stock"] = whole(level["stock"] + int(body["change"]))
    note = {name: body[name] for name in ("product_id", "change", "reason")}
    return insert(shop, "inventory/adjustments", note)


def row(shop: Any, table: str, id: int) -> dict[str, Any]:
    for found in shop[table]:
        if isinstance(found, dict) and found["id"] == id:
            return found
    raise HTTPException(404, "There is no such thing.")


def insert(shop: Any, table: str, new: dict[str, Any]) -> Response:
    new = {**new, "id": 1 + max((found["id"] for found in shop[table]), default=0)}
    shop[table].append(new)
    return JSONResponse(new, 201)


def texts(body: Any, members: set[str]) -> dict[str, str]:
    if not body.keys() <= members or not all(isinstance(text, str) and 0 < len(text) <= 200 for text in body.values()):
        raise ValueError(f"expected texts: {members}")
    return dict(body)


def whole(number: Any) -> int:
    if not isinstance(number, int) or number < 0:
        raise ValueError("expected a whole number from 0")
    return number
