"""The ASGI middleware: alone, and with Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Callable, Optional

import pytest
from fastapi import FastAPI
from sample import KEY, document, record
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

import bpos
from bpos.asgi import Middleware

HEADERS = [(b"host", b"yourstore.brotherpos.ca"), (b"x-api-key", KEY.encode())]


class App:
    """Remembers what it was asked, and answers 200."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
            await send({"type": "http.response.body", "body": b"served"})


class Asked:
    """One request to the middleware around an `App`, and everything that came of it."""

    def __init__(self, registry: bpos.Registry, store: Any = "yourstore", **members: Any) -> None:
        self.app, self.received = App(), 0
        self.sent: list[Any] = []
        self.scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/products",
            "raw_path": b"/api/v1/products",
            "query_string": b"",
            "headers": HEADERS,
            **members,
        }
        self.scope = {name: value for name, value in self.scope.items() if value is not None}
        middleware = Middleware(self.app, registry, store=store if callable(store) else lambda scope: store)
        asyncio.run(middleware(self.scope, self._receive, self._send))
        self.decision: bpos.Decision = self.scope["bpos.decision"]
        self.reason = str(self.decision.reason)
        assert bool(self.app.scopes) == self.decision.allowed

    async def _receive(self) -> Any:
        self.received += 1
        return {"type": "websocket.connect"}

    async def _send(self, message: Any) -> None:
        self.sent.append(message)


def test_what_is_allowed_is_served_with_the_decision_and_without_the_key(registry: bpos.Registry) -> None:
    asked = Asked(registry)
    (scope,) = asked.app.scopes
    assert scope["bpos.decision"] is asked.decision and asked.decision.store == "yourstore"
    assert scope["headers"] == HEADERS[:1]
    start, body = asked.sent
    assert start["status"] == 200 and body["body"] == b"served"
    assert dict(start["headers"]) == {
        b"x-own": b"1",
        b"RateLimit-Policy": b'"default";q=60;w=60',
        b"RateLimit": b'"default";r=59;t=61',
    }


def test_what_is_denied_gets_the_librarys_answer(registry: bpos.Registry) -> None:
    asked = Asked(registry, headers=[])
    start, body = asked.sent
    assert start == {
        "type": "http.response.start",
        "status": 401,
        "headers": [
            (b"WWW-Authenticate", b'ApiKey realm="bpos"'),
            (b"Content-Type", b"application/problem+json"),
            (b"Content-Length", b"%d" % len(body["body"])),
        ],
    }
    assert body["body"] == asked.decision.body and json.loads(body["body"])["code"] == "missing_key"


def test_a_denied_head_has_no_body(registry: bpos.Registry) -> None:
    asked = Asked(registry, method="HEAD", headers=[])
    assert asked.sent[0]["status"] == 401 and asked.sent[1]["body"] == b""
    assert Asked(registry, method="HEAD").reason == "allowed"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"x-api-key", KEY.encode()), (b"x-api-key", KEY.encode())],
        [(b"X-API-Key", KEY.encode()), (b"x-api-key", b"")],
        [(b"x-api-key", KEY.encode() + b"\0")],
    ],
)
def test_several_keys_are_none(registry: bpos.Registry, headers: Any) -> None:
    assert Asked(registry, headers=headers).reason == "malformed_key"


def test_the_key_is_not_one_in_the_url(registry: bpos.Registry) -> None:
    assert Asked(registry, query_string=b"api_key=" + KEY.encode()).reason == "key_in_url"
    assert Asked(registry, query_string=b"api_key=bpos%5F" + KEY[5:].encode()).reason == "key_in_url"


@pytest.mark.parametrize(
    ("raw", "path", "reason"),
    [
        (b"/api/v1/products/7", "/api/v1/products/7", "allowed"),
        (b"/api/v1/products%2F7", "/api/v1/products/7", "unmapped_route"),
        (b"/api/v1/%70roducts", "/api/v1/products", "unmapped_route"),
        (b"/api/v1/products/%C3%A9", "/api/v1/products/é", "allowed"),
        (b"//api/v1/products", "//api/v1/products", "unmapped_route"),
        # Some servers leave the query in it.
        (b"/api/v1/products?a=b", "/api/v1/products", "allowed"),
        # A mounted application is asked for the rest of the path.
        (b"/api/v1/products", "/products", "allowed"),
    ],
)
def test_the_path_is_taken_as_it_was_received(registry: bpos.Registry, raw: bytes, path: str, reason: str) -> None:
    assert Asked(registry, raw_path=raw, path=path).reason == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/api/v1/products/7", "allowed"),
        ("/api/v1/products/é", "allowed"),
        ("/api/v1/products/a b", "allowed"),
        ("/api/v1/products/7?x", "allowed"),  # "%3F": one segment, and no query
        ("/api/v1/products?x", "unmapped_route"),
        ("/api/v1/products#x", "unmapped_route"),
        ("/api/v1/products/a%2fb", "unmapped_route"),
        ("/api/v1/products/%2e%2e", "unmapped_route"),
        ("/api/v1/products/../sales", "unmapped_route"),
        ("/api/v1/products/7;x", "unmapped_route"),
        ("/api/v1/products/a\\b", "unmapped_route"),
        ("/api/v1/products/\0", "unmapped_route"),
        ("/api/v1/products/\udcff", "unmapped_route"),
        ("//api/v1/products", "unmapped_route"),
        ("", "unmapped_route"),
    ],
)
def test_without_a_raw_path_the_decoded_one_is_encoded_again(registry: bpos.Registry, path: str, reason: str) -> None:
    assert Asked(registry, raw_path=None, path=path).reason == reason


def test_a_path_that_was_rewritten_in_between_is_not_decided_on(
    registry: bpos.Registry, caplog: pytest.LogCaptureFixture
) -> None:
    assert Asked(registry, raw_path=b"/api/v1/products", path="/api/v1/sales").decision.status == 500
    assert "the raw path of the request is not the one" in caplog.text


@pytest.mark.parametrize("store", [None, "", b"", "otherstore"])
def test_a_store_that_is_not_found_admits_nobody(registry: bpos.Registry, store: Optional[str]) -> None:
    assert Asked(registry, store).reason == "wrong_store"
    assert Asked(registry, bpos.ANY_STORE).reason == "allowed"


def raising(scope: Any) -> str:
    raise LookupError(f"no store for {KEY}")


@pytest.mark.parametrize("store", [raising, lambda scope: 7, lambda scope: asyncio.sleep(0)])
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_store_that_fails_is_500_and_logged_without_keys(
    registry: bpos.Registry, store: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked(registry, store)
    assert asked.sent[0]["status"] == 500 and json.loads(asked.sent[1]["body"])["code"] == "internal"
    assert [(logged.name, logged.levelno) for logged in caplog.records] == [("bpos.asgi", logging.ERROR)]
    assert KEY not in caplog.text


def test_a_closed_registry_is_500(registry: bpos.Registry, caplog: pytest.LogCaptureFixture) -> None:
    registry.close()
    assert Asked(registry).sent[0]["status"] == 500
    assert "the registry is closed" in caplog.text


def test_what_ends_the_program_is_not_answered(registry: bpos.Registry) -> None:
    def interrupted(scope: Any) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Asked(registry, interrupted)


def test_a_lifespan_passes_and_what_is_unknown_does_not(registry: bpos.Registry) -> None:
    app = App()
    middleware = Middleware(app, registry, store=lambda scope: "yourstore")

    async def send(message: Any) -> None:
        pass

    asyncio.run(middleware({"type": "lifespan"}, send, send))  # type: ignore[arg-type]
    assert len(app.scopes) == 1
    with pytest.raises(ValueError, match="webtransport"):
        asyncio.run(middleware({"type": "webtransport", "headers": HEADERS}, send, send))  # type: ignore[arg-type]
    assert len(app.scopes) == 1


def test_a_websocket_is_asked_for_as_get(registry: bpos.Registry) -> None:
    asked = Asked(registry, type="websocket", method=None)
    (accept,) = asked.sent
    assert accept["type"] == "websocket.accept"
    assert (b"RateLimit-Policy", b'"default";q=60;w=60') in accept["headers"]


def test_a_denied_websocket_is_closed_before_it_is_accepted(registry: bpos.Registry) -> None:
    asked = Asked(registry, type="websocket", method=None, headers=[])
    assert asked.received == 1
    assert asked.sent == [{"type": "websocket.close", "code": 1008}]


def test_a_denied_websocket_gets_the_whole_answer_where_the_server_can(registry: bpos.Registry) -> None:
    asked = Asked(registry, type="websocket", method=None, headers=[], extensions={"websocket.http.response": {}})
    start, body = asked.sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (body["type"], body["body"]) == ("websocket.http.response.body", asked.decision.body)


# ---- With frameworks ----


def shop() -> Starlette:
    async def products(request: Request) -> Response:
        decision = request.scope["bpos.decision"]
        return JSONResponse({"store": decision.store, "key": request.headers.get("x-api-key")})

    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.scope["bpos.decision"].key_id)
        await socket.close()

    routes = [Route("/products", products), WebSocketRoute("/products/{id}", socket)]
    return Starlette(routes=[Mount("/api/v1", routes=routes)])


def test_starlette(registry: bpos.Registry) -> None:
    app = shop()
    app.add_middleware(Middleware, registry=registry, store=lambda scope: "yourstore")
    client = TestClient(app)
    answer = client.get("/api/v1/products?page=2", headers={"X-API-Key": KEY})
    assert (answer.status_code, answer.json()) == (200, {"store": "yourstore", "key": None})
    assert answer.headers["RateLimit"].startswith('"default";r=')
    assert client.head("/api/v1/products", headers={"X-API-Key": KEY}).status_code == 200

    answer = client.get("/api/v1/products")
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_key")
    assert client.get("/api/v1/employees", headers={"X-API-Key": KEY}).json()["code"] == "unmapped_route"
    answer = client.head("/api/v1/employees", headers={"X-API-Key": KEY})
    assert (answer.status_code, answer.content) == (403, b"")

    with client.websocket_connect("/api/v1/products/7", headers={"X-API-Key": KEY}) as socket:
        assert socket.receive_text() == "key_1"
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/api/v1/products/7"):
        pass
    assert denied.value.status_code == 401 and denied.value.json()["code"] == "missing_key"
    with pytest.raises(WebSocketDisconnect):
        with client.websocket_connect("/api/v1/products/7", headers={"X-API-Key": KEY}) as socket:
            socket.receive_text()
            socket.receive_text()


def test_starlette_with_the_middleware_inside_of_a_mount(registry: bpos.Registry) -> None:
    inner = Middleware(shop().routes[0].app, registry, store=lambda scope: "yourstore")  # type: ignore[attr-defined]
    client = TestClient(Starlette(routes=[Mount("/api/v1", app=inner)]))
    assert client.get("/api/v1/products", headers={"X-API-Key": KEY}).status_code == 200
    assert client.get("/api/v1/products").status_code == 401


def test_fastapi() -> None:
    registry = bpos.Registry.from_json(document(record(rate_limit=1)))
    app = FastAPI()
    app.add_middleware(
        Middleware, registry=registry, store=lambda scope: dict(scope["headers"])[b"host"].split(b".")[0]
    )

    @app.get("/api/v1/products")
    def products(request: Request) -> str:
        return str(request.scope["bpos.decision"].key_id)

    client = TestClient(app, base_url="http://yourstore.brotherpos.ca")
    assert client.get("/api/v1/products", headers={"X-API-Key": KEY}).json() == "key_1"
    answer = client.get("/api/v1/products", headers={"X-API-Key": KEY})
    assert answer.status_code == 429 and 1 <= int(answer.headers["Retry-After"]) <= 61
    assert client.get("/docs").status_code == 401
