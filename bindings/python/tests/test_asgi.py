"""The ASGI middleware: alone, and with Starlette and FastAPI."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any, Callable, Optional
from urllib.parse import unquote

import pytest
import uvicorn
from fastapi import FastAPI
from sample import EXPORT_KEY, HOSTILE, KEY, document, items, record
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

    def __init__(self, registry: bpos.Registry, store: Any = "yourstore", prefix: str = "", **members: Any) -> None:
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
        middleware = Middleware(
            self.app, registry, store=store if callable(store) else lambda scope: store, prefix=prefix
        )
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
        # What bpos refuses by itself is no mistake of the host's, however the server reads it.
        (b"/api/v1/products/%ff", "/api/v1/products/\ufffd", "unmapped_route"),
        (b"/api/v1/products/\xff", "/api/v1/products/\xff", "unmapped_route"),
        (b"http://yourstore.brotherpos.ca/api/v1/products", "/api/v1/products", "unmapped_route"),
        (b"*", "*", "unmapped_route"),
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


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/api/v1/products", "/api/v1/sales"),
        (b"/api/v1/products", "/products"),
        (b"/api/v1/products", ""),
        (b"/api/v1/products", "/api/v1/products/"),
        (b"/items/api/v1/products", "/api/v1/products"),
        (b"//api/v1/products", "/api/v1/products"),
        (b"/api/v1/%70roducts", "/api/v1/%70roducts"),
    ],
)
def test_a_path_that_was_rewritten_in_between_is_not_decided_on(
    registry: bpos.Registry, raw: bytes, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Asked(registry, raw_path=raw, path=path).sent[0]["status"] == 500
    (logged,) = caplog.records
    assert (logged.name, logged.levelno, logged.exc_info) == ("bpos.asgi", logging.ERROR, None)
    assert "put the middleware around it" in logged.getMessage()
    assert f"{raw!r}" in logged.getMessage() and f"{path.encode()!r}" in logged.getMessage()


@pytest.mark.parametrize(
    ("raw", "query", "reason"),  # some servers leave the query in the raw path
    [
        (f"?k={KEY}", None, "key_in_url"),
        (f"?k={KEY}", f"k={KEY}", "key_in_url"),
        ("?a=b", "a=b", "allowed"),
        ("", "a=b", "allowed"),
        ("", None, "allowed"),
        ("?a=b", "", "internal"),
        (f"?k={KEY}", "a=b", "internal"),
    ],
)
def test_the_query_is_the_one_in_the_raw_path_if_there_is_no_other(
    registry: bpos.Registry, raw: str, query: Optional[str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    query_string = None if query is None else query.encode()
    asked = Asked(registry, raw_path=b"/api/v1/products" + raw.encode(), query_string=query_string)
    assert asked.reason == reason
    assert len(caplog.records) == (reason == "internal") and KEY not in caplog.text


# ---- Below a prefix ----


@pytest.mark.parametrize(
    ("prefix", "root_path", "raw", "reason"),
    [
        ("/shop", "/shop", "/shop/items/export", "allowed"),
        ("/shop/", "/shop", "/shop/items/export", "allowed"),
        ("", None, "/items/export", "allowed"),
        ("/items", "/items", "/items/items/export", "allowed"),
        ("/items", "/items", "/items/export", "insufficient_scope"),
        ("/items", "/items", "/items/export/", "insufficient_scope"),
        ("/items", "/items", "/items", "unmapped_route"),
        ("/items", "/items", "/items/", "unmapped_route"),
        ("/items", "/items", "/items//export", "unmapped_route"),
        # The path does not begin with the prefix, as it was received.
        ("/items", "/items", "/export", "internal"),
        ("/items", "/items", "/itemsexport", "internal"),
        ("/items", "/items", "/%69tems/export", "internal"),
        ("/items", "/items", "/Items/export", "internal"),
        ("/items", "/items", "//items/export", "internal"),
        # The server says another one.
        ("", "/items", "/items/export", "internal"),
        ("", "/items", "/export", "internal"),
        ("", "/items/export", "/items/export", "internal"),
        ("/items", "", "/items/items/export", "internal"),
        ("/items", None, "/items/items/export", "internal"),
        ("/items", "/item", "/items/items/export", "internal"),
        # Starlette goes by the whole path then, Quart by the rest, and Django by the rest without its slash.
        ("/items", "/items/", "/items/items/export", "internal"),
        ("", "/", "/items/export", "internal"),
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_the_path_is_decided_on_without_the_prefix(
    prefix: str, root_path: Optional[str], raw: str, reason: str, given: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = unquote(raw)
    members = {"root_path": root_path, "raw_path": raw.encode() if given else None, "path": path}
    if not given and raw != path:
        reason = "insufficient_scope"  # nobody knows how it was encoded
    assert Asked(items(), prefix=prefix, **members).reason == reason
    assert [logged.exc_info for logged in caplog.records] == [None] * (reason == "internal")


@pytest.mark.parametrize(
    ("prefix", "root_path", "path", "said"),
    [
        ("", "/items", "/items/export", ["is '/items'", "prefix, ''", "Set prefix='/items'"]),
        ("/items", "", "/items/export", ["is ''", "prefix, '/items'", "Set prefix=''"]),
        ("/items", "/items", "/export", ["b'/export'", "expected it to begin with the prefix, '/items'"]),
        ("/items", "/items/", "/items/export", ["is '/items/'", "Take the slash off its end"]),
        ("", "/a\nb", "/a\nb", ["'/a\\nb'"]),
        ("", f"/{KEY}", "/export", ["bpos_Quic***"]),
    ],
)
def test_the_log_says_what_to_set(
    prefix: str, root_path: str, path: str, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert Asked(items(), prefix=prefix, root_path=root_path, path=path, raw_path=None).reason == "internal"
    (logged,) = caplog.records
    message = logged.getMessage()
    assert all(text in message for text in said) and "\n" not in message and KEY not in message


@pytest.mark.parametrize("prefix", ["shop", "shop/", "/caf\u00e9", "/a b", "/%73hop", "/shop?", "/a\0", "?"])
def test_a_prefix_that_cannot_be_in_a_raw_path_is_refused(registry: bpos.Registry, prefix: str) -> None:
    with pytest.raises(ValueError, match="^the prefix is .*; expected"):
        Middleware(App(), registry, store=lambda scope: None, prefix=prefix)


@pytest.mark.parametrize("prefix", [None, b"/shop"])
def test_a_prefix_is_a_str(registry: bpos.Registry, prefix: Any) -> None:
    with pytest.raises(TypeError, match="^prefix must be str"):
        Middleware(App(), registry, store=lambda scope: None, prefix=prefix)


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


def exporting(app: Any) -> Any:
    """An application with the routes of the policy `ITEMS`."""

    async def item(request: Request) -> Response:
        return Response("item")

    async def export(request: Request) -> Response:
        return Response("export")

    app.add_route("/items/{id}", item)
    app.add_route("/export", export)
    return app


def with_middleware(app: Any, prefix: str = "") -> Any:
    app.add_middleware(Middleware, registry=items(), store=lambda scope: "yourstore", prefix=prefix)
    return app


def around(app: Any, prefix: str = "") -> Any:
    return Middleware(app, items(), store=lambda scope: "yourstore", prefix=prefix)


#: An application, the root_path that the server says, and a path at which it serves an item, if there is one.
PLACES: dict[str, tuple[Callable[[], Any], str, Optional[str]]] = {
    "alone": (lambda: with_middleware(exporting(Starlette())), "", "/items/7"),
    "the server has a root_path": (
        lambda: with_middleware(exporting(Starlette()), "/items"),
        "/items",
        "/items/items/7",
    ),
    "the server has one and the middleware none": (lambda: with_middleware(exporting(Starlette())), "/items", None),
    "the server has one with a slash": (lambda: with_middleware(exporting(Starlette()), "/items"), "/items/", None),
    "the middleware has one and the server none": (lambda: with_middleware(exporting(Starlette()), "/items"), "", None),
    "FastAPI has one": (
        lambda: with_middleware(exporting(FastAPI(root_path="/items")), "/items"),
        "",
        "/items/items/7",
    ),
    "FastAPI has one and the middleware none": (
        lambda: with_middleware(exporting(FastAPI(root_path="/items"))),
        "",
        None,
    ),
    "FastAPI has one with a slash": (
        lambda: with_middleware(exporting(FastAPI(root_path="/items/")), "/items"),
        "",
        None,
    ),
    "the server and FastAPI have one": (
        lambda: around(exporting(FastAPI(root_path="/items")), "/items"),
        "/items",
        "/items/items/7",
    ),
    "around FastAPI without one": (lambda: around(exporting(FastAPI()), "/items"), "/items", "/items/items/7"),
    "in a mount": (
        lambda: Starlette(routes=[Mount("/items", around(exporting(Starlette()), "/items"))]),
        "",
        "/items/items/7",
    ),
    "in a mount and without a prefix": (
        lambda: Starlette(routes=[Mount("/items", around(exporting(Starlette())))]),
        "",
        None,
    ),
    "in a mount below a root_path": (
        lambda: Starlette(routes=[Mount("/items", around(exporting(Starlette()), "/shop/items"))]),
        "/shop",
        "/shop/items/items/7",
    ),
    "in a mount with a parameter": (
        lambda: Starlette(routes=[Mount("/{any}", around(exporting(Starlette()), "/shop"))]),
        "",
        "/shop/items/7",
    ),
    "in a mount at the root": (
        lambda: Starlette(routes=[Mount("/", around(exporting(Starlette())))]),
        "",
        "/items/7",
    ),
    "in the middleware of a mount": (
        lambda: Starlette(routes=[Mount("/items", with_middleware(exporting(FastAPI()), "/items"))]),
        "",
        "/items/items/7",
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_nobody_gets_what_the_key_is_not_for(place: str) -> None:
    make, root_path, item = PLACES[place]
    client = TestClient(make(), root_path=root_path)

    def ask(target: str, key: str) -> str:
        return client.get("http://testserver" + target, headers={"X-API-Key": key}, follow_redirects=False).text

    for target in HOSTILE:
        assert ask(target, KEY) != "export", target
        assert ask(target, EXPORT_KEY) != "item", target
    served = {target for target in HOSTILE if ask(target, KEY) == "item" or ask(target, EXPORT_KEY) == "export"}
    if item is None:
        assert not served
    else:
        assert ask(item, KEY) == "item"
        assert {item.replace("/items/7", "/export"), item.replace("/7", "/export")} <= served


def test_a_mount_in_an_application_behind_the_middleware_is_part_of_the_path() -> None:
    for app in (
        with_middleware(Starlette(routes=[Mount("/items", exporting(Starlette()))])),
        with_middleware(Starlette(routes=[Mount("/shop", exporting(Starlette()))]), "/shop"),
    ):
        client = TestClient(app)
        # The policy has the path of the whole. What it has not is denied.
        assert client.get("/items/export", headers={"X-API-Key": EXPORT_KEY}).status_code in (403, 500)
        assert client.get("/shop/export", headers={"X-API-Key": EXPORT_KEY}).status_code in (403, 500)


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_fastapi_with_a_root_path_of_its_own_is_not_wrapped(prefix: str) -> None:
    # It would take the prefix off behind the middleware.
    with pytest.raises(ValueError, match=r"FastAPI\(root_path='/items'\).*add_middleware"):
        around(exporting(FastAPI(root_path="/items")), prefix)


@contextlib.contextmanager
def uvicorn_with(app: Any, **options: Any) -> Iterator[Callable[[str, str], tuple[int, str]]]:
    """Serves an application, and gives a function that asks it for a target with a key."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()

    def ask(target: str, key: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=60)
        connection.request("GET", target, headers={"X-API-Key": key})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    try:
        yield ask
    finally:
        server.should_exit = True
        thread.join()


def test_uvicorn_with_a_root_path(caplog: pytest.LogCaptureFixture) -> None:
    with uvicorn_with(with_middleware(exporting(Starlette()), "/items"), root_path="/items") as ask:
        assert ask("/items/7", KEY) == (200, "item")
        assert ask("/items/export", KEY) == (200, "item")
        assert ask("/export", EXPORT_KEY) == (200, "export")
        assert ask("/export", KEY)[0] == ask("/items/export", EXPORT_KEY)[0] == 403
    assert not [logged for logged in caplog.records if logged.name == "bpos.asgi"]
    with uvicorn_with(with_middleware(exporting(Starlette())), root_path="/items") as ask:
        assert ask("/export", KEY)[0] == ask("/items/7", KEY)[0] == 500


@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_no_client_makes_a_500_with_uvicorn(root_path: str, caplog: pytest.LogCaptureFixture) -> None:
    with uvicorn_with(with_middleware(exporting(Starlette()), root_path), root_path=root_path) as ask:
        for target in ("/%ff", "/items/%ff", "/items/%C3%28", "/%", "/items/%zz", "//items/7", "/items#x", "/a?b=%ff"):
            assert ask(target, "")[0] == 401, target
            assert ask(target, KEY)[0] == 403, target
    assert not [logged for logged in caplog.records if logged.name == "bpos.asgi"]


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
