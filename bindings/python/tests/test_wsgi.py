"""The WSGI middleware: alone, and with Flask."""

from __future__ import annotations

import json
import logging
from typing import Any, Callable, Optional
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, request
from sample import EXPORT_KEY, HOSTILE, KEY, document, items, record
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client, EnvironBuilder

import bpos
from bpos.wsgi import Middleware


class Asked:
    """One request to the middleware around an application, and everything that came of it."""

    def __init__(
        self, registry: bpos.Registry, store: Any = "yourstore", prefix: str = "", **members: Optional[str]
    ) -> None:
        environ: dict[str, Any] = {
            "SCRIPT_NAME": "",
            "PATH_INFO": "/api/v1/products",
            "REQUEST_URI": "/api/v1/products",
            "QUERY_STRING": "",
            "HTTP_X_API_KEY": KEY,
            **members,
        }
        self.environ = {name: value for name, value in environ.items() if value is not None}
        setup_testing_defaults(self.environ)
        self.served: list[Any] = []
        middleware = Middleware(
            validator(self._app), registry, store=store if callable(store) else lambda environ: store, prefix=prefix
        )
        # The validator holds both sides of the middleware against PEP 3333.
        answer = validator(middleware)(self.environ, self._start)
        self.body = b"".join(answer)
        answer.close()  # type: ignore[attr-defined]
        self.decision: bpos.Decision = self.environ["bpos.decision"]
        self.reason = str(self.decision.reason)
        assert bool(self.served) == self.decision.allowed

    def _app(self, environ: Any, start_response: Any) -> list[bytes]:
        self.served.append(dict(environ))
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Own", "1")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"served"]

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self.status, self.headers = status, headers
        return lambda data: None


def test_what_is_allowed_is_served_with_the_decision_and_without_the_key(registry: bpos.Registry) -> None:
    asked = Asked(registry)
    (environ,) = asked.served
    assert environ["bpos.decision"] is asked.decision and asked.decision.store == "yourstore"
    assert KEY not in environ.values()
    assert (asked.status, asked.body) == ("200 OK", b"served")
    assert asked.headers == [
        ("Content-Type", "text/plain"),
        ("X-Own", "1"),
        ("RateLimit-Policy", '"default";q=60;w=60'),
        ("RateLimit", '"default";r=59;t=61'),
    ]


def test_what_is_denied_gets_the_librarys_answer(registry: bpos.Registry) -> None:
    asked = Asked(registry, HTTP_X_API_KEY=None)
    assert asked.status == "401 Unauthorized"
    assert asked.headers == [
        ("WWW-Authenticate", 'ApiKey realm="bpos"'),
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(asked.body))),
    ]
    assert json.loads(asked.body)["code"] == "missing_key"


def test_a_denied_head_has_no_body(registry: bpos.Registry) -> None:
    asked = Asked(registry, REQUEST_METHOD="HEAD", HTTP_X_API_KEY=None)
    assert (asked.status, asked.body) == ("401 Unauthorized", b"")
    assert Asked(registry, REQUEST_METHOD="HEAD").reason == "allowed"


@pytest.mark.parametrize("key", [f"{KEY},{KEY}", f"{KEY}, {KEY}", f"{KEY},", ",", f"{KEY}\xe9", f"{KEY}\0"])
def test_several_keys_are_none(registry: bpos.Registry, key: str) -> None:
    assert Asked(registry, HTTP_X_API_KEY=key).reason == "malformed_key"


@pytest.mark.parametrize("raw", ["REQUEST_URI", "RAW_URI"])
def test_the_key_is_not_one_in_the_url(registry: bpos.Registry, raw: str) -> None:
    query = f"api_key={KEY}"
    uri: dict[str, Any] = {"REQUEST_URI": None, raw: f"/api/v1/products?{query}"}
    assert Asked(registry, QUERY_STRING=query, **uri).reason == "key_in_url"
    assert Asked(registry, QUERY_STRING=query, REQUEST_URI=None).reason == "key_in_url"


@pytest.mark.parametrize(
    ("raw", "path", "reason"),
    [
        ("/api/v1/products/7?a=b", "/api/v1/products/7", "allowed"),
        ("/api/v1/products%2F7", "/api/v1/products/7", "unmapped_route"),
        ("/api/v1/%70roducts", "/api/v1/products", "unmapped_route"),
        ("/api/v1/products/%C3%A9", "/api/v1/products/\xc3\xa9", "allowed"),
        ("http://yourstore.brotherpos.ca/api/v1/products", "/api/v1/products", "unmapped_route"),
        # What bpos refuses by itself is no mistake of the host's, however the server reads it.
        ("/api/v1/products/%ff", "/api/v1/products/\xff", "unmapped_route"),
        ("/api/v1/products/%ff", "/api/v1/products/\xef\xbf\xbd", "unmapped_route"),
    ],
)
@pytest.mark.parametrize("name", ["REQUEST_URI", "RAW_URI"])
def test_the_path_is_taken_as_it_was_received(
    registry: bpos.Registry, name: str, raw: str, path: str, reason: str
) -> None:
    uri: dict[str, Any] = {"REQUEST_URI": None, name: raw}
    assert Asked(registry, **uri, PATH_INFO=path, QUERY_STRING=raw.partition("?")[2]).reason == reason


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/api/v1/products/7", "allowed"),
        ("/api/v1/products/\xc3\xa9", "allowed"),
        ("/api/v1/products/\xff", "unmapped_route"),
        ("/api/v1/products?x", "unmapped_route"),
        ("/api/v1/products/a%2fb", "unmapped_route"),
        ("/api/v1/products/../sales", "unmapped_route"),
        ("/api/v1/products/7;x", "unmapped_route"),
        ("", "unmapped_route"),
    ],
)
def test_without_a_raw_path_the_decoded_one_is_encoded_again(
    registry: bpos.Registry, path: str, reason: str
) -> None:
    assert Asked(registry, REQUEST_URI=None, PATH_INFO=path).reason == reason


@pytest.mark.parametrize("path", ["/api/v1/sales", "/products", "", "/api/v1/products/"])
def test_a_path_that_was_rewritten_in_between_is_not_decided_on(
    registry: bpos.Registry, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Asked(registry, PATH_INFO=path).status == "500 Internal Server Error"
    (logged,) = caplog.records
    assert (logged.name, logged.levelno, logged.exc_info) == ("bpos.wsgi", logging.ERROR, None)
    assert "put the middleware around it" in logged.getMessage()


@pytest.mark.parametrize(
    ("uri", "query", "reason"),
    [
        (f"?k={KEY}", None, "key_in_url"),
        (f"?k={KEY}", f"k={KEY}", "key_in_url"),
        ("", f"k={KEY}", "key_in_url"),
        ("?a=b", "a=b", "allowed"),
        ("?a=b", None, "allowed"),
        ("", None, "allowed"),
        ("?a=b", "", "internal"),
        (f"?k={KEY}", "a=b", "internal"),
    ],
)
@pytest.mark.filterwarnings("ignore:QUERY_STRING is not in the WSGI environment")
def test_the_query_is_the_one_in_the_raw_target_if_there_is_no_other(
    registry: bpos.Registry, uri: str, query: Optional[str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert Asked(registry, REQUEST_URI="/api/v1/products" + uri, QUERY_STRING=query).reason == reason
    assert len(caplog.records) == (reason == "internal") and KEY not in caplog.text


# ---- Below a prefix ----


@pytest.mark.parametrize(
    ("prefix", "script", "path", "reason"),
    [
        ("/shop", "/shop", "/items/export", "allowed"),
        ("/shop/", "/shop", "/items/export", "allowed"),
        ("/items", "/items", "/items/export", "allowed"),
        ("/items", "/items", "/export", "insufficient_scope"),
        ("/items", "/items", "", "unmapped_route"),
        ("/items", "/items", "/", "unmapped_route"),
        ("/items", "/items", "//export", "unmapped_route"),
        # The server says another prefix: gunicorn takes it from a header of the client.
        ("", "/items", "/export", "internal"),
        ("", "/items/export", "", "internal"),
        ("/items", "", "/items/items/export", "internal"),
        ("/items", "/items/items", "/export", "internal"),
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_the_path_is_decided_on_without_the_prefix(
    prefix: str, script: str, path: str, reason: str, given: bool, caplog: pytest.LogCaptureFixture
) -> None:
    members = {"SCRIPT_NAME": script, "PATH_INFO": path, "REQUEST_URI": script + path if given else None}
    assert Asked(items(), prefix=prefix, **members).reason == reason
    assert [logged.exc_info for logged in caplog.records] == [None] * (reason == "internal")


@pytest.mark.parametrize(
    ("script", "path", "uri"),
    [
        ("/items", "/export", "/export"),
        ("/items", "/export", "/items/items/export"),
        ("/items", "/export", "/%69tems/export"),
        ("/items", "/items/export", "/items/export"),
        ("/items/", "export", "/items/export"),
        ("/items", "export", "/itemsexport"),
        (None, "/items/items/export", "/items/items/export"),
    ],
)
def test_a_prefix_that_is_not_in_the_raw_path_is_not_taken_off(
    script: Optional[str], path: str, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {"PATH_INFO": path, "REQUEST_URI": uri, "REQUEST_METHOD": "GET"}
    environ.update({} if script is None else {"SCRIPT_NAME": script})
    middleware = Middleware(exporting(), items(), store=lambda environ: "yourstore", prefix="/items")
    for key in (KEY, EXPORT_KEY):
        asked = {**environ, "HTTP_X_API_KEY": key}
        middleware(asked, lambda *answer: lambda data: None)
        assert str(asked["bpos.decision"].reason) == "internal"  # type: ignore[attr-defined]
    assert [logged.exc_info for logged in caplog.records] == [None, None]


def test_the_log_says_what_to_set(caplog: pytest.LogCaptureFixture) -> None:
    Asked(items(), SCRIPT_NAME="/items", PATH_INFO="/export", REQUEST_URI="/items/export")
    Asked(items(), SCRIPT_NAME=f"/a\nb/{KEY}")
    first, second = (logged.getMessage() for logged in caplog.records)
    assert all(text in first for text in ("SCRIPT_NAME is '/items'", "prefix, ''", "Set prefix='/items'"))
    assert "'/a\\nb/bpos_Quic***" in second and "\n" not in second and KEY not in second


@pytest.mark.parametrize("store", [None, "", b"", "otherstore"])
def test_a_store_that_is_not_found_admits_nobody(registry: bpos.Registry, store: Optional[str]) -> None:
    assert Asked(registry, store).reason == "wrong_store"
    assert Asked(registry, bpos.ANY_STORE).reason == "allowed"


def raising(environ: Any) -> str:
    raise LookupError(f"no store for {KEY}")


@pytest.mark.parametrize("store", [raising, lambda environ: 7])
def test_a_store_that_fails_is_500_and_logged_without_keys(
    registry: bpos.Registry, store: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    asked = Asked(registry, store)
    assert asked.status == "500 Internal Server Error" and json.loads(asked.body)["code"] == "internal"
    assert [(logged.name, logged.levelno) for logged in caplog.records] == [("bpos.wsgi", logging.ERROR)]
    assert KEY not in caplog.text


def test_a_closed_registry_is_500(registry: bpos.Registry, caplog: pytest.LogCaptureFixture) -> None:
    registry.close()
    assert Asked(registry).status == "500 Internal Server Error"
    assert "the registry is closed" in caplog.text


def exporting() -> Any:
    """An application with the routes of the policy `ITEMS`."""
    app = Flask(__name__)
    app.add_url_rule("/items/<id>", "item", lambda id: "item")
    app.add_url_rule("/export", "export", lambda: "export")
    return app


def around(app: Any, prefix: str = "") -> Any:
    return Middleware(app, items(), store=lambda environ: "yourstore", prefix=prefix)


def script_name_of_the_client(app: Any) -> Any:
    """What gunicorn makes of a SCRIPT_NAME header."""

    def served(environ: Any, start_response: Any) -> Any:
        environ["SCRIPT_NAME"] = environ.pop("HTTP_SCRIPT_NAME", "")
        if not environ["PATH_INFO"].startswith(environ["SCRIPT_NAME"]):
            start_response("500 Internal Server Error", [])
            return []
        environ["PATH_INFO"] = environ["PATH_INFO"][len(environ["SCRIPT_NAME"]) :]
        return app(environ, start_response)

    return served


#: An application, and a path at which it serves an item, if there is one.
PLACES: dict[str, tuple[Callable[[], Any], Optional[str]]] = {
    "alone": (lambda: around(exporting()), "/items/7"),
    "around a dispatcher": (lambda: around(DispatcherMiddleware(exporting(), {"/shop": exporting()})), "/items/7"),
    "in a dispatcher": (
        lambda: DispatcherMiddleware(Flask(__name__), {"/items": around(exporting(), "/items")}),
        "/items/items/7",
    ),
    "in a dispatcher, without a prefix": (
        lambda: DispatcherMiddleware(around(exporting()), {"/items": around(exporting())}),
        None,
    ),
    "behind what the client says": (lambda: script_name_of_the_client(around(exporting())), "/items/7"),
    "behind what the client says, with a prefix": (
        lambda: script_name_of_the_client(around(exporting(), "/items")),
        None,
    ),
    "behind a proxy's prefix": (lambda: ProxyFix(around(exporting()), x_prefix=1), "/items/7"),
    "around a proxy's prefix": (lambda: around(ProxyFix(exporting(), x_prefix=1)), "/items/7"),
}


@pytest.mark.parametrize("place", PLACES)
def test_nobody_gets_what_the_key_is_not_for(place: str) -> None:
    make, item = PLACES[place]
    app = make()

    def ask(target: str, key: str, prefix: Optional[str] = None) -> str:
        client = Client(app)
        headers = [("X-API-Key", key)]
        if prefix:
            headers += [("Script_Name", prefix), ("X-Forwarded-Prefix", prefix)]
        raw = target.encode().decode("latin-1")
        environ = EnvironBuilder(path="/", headers=headers).get_environ()
        environ.update(PATH_INFO=unquote(raw), REQUEST_URI=raw, RAW_URI=raw)
        return str(client.open(environ).text)

    for target in HOSTILE:
        for prefix in (None, "/items", "/items/", "/item", "/", "/shop", "/items/items"):
            assert ask(target, KEY, prefix) != "export", (target, prefix)
            assert ask(target, EXPORT_KEY, prefix) != "item", (target, prefix)
    served = {target for target in HOSTILE if ask(target, KEY) == "item" or ask(target, EXPORT_KEY) == "export"}
    if item is None:
        assert not any(target.startswith("/items") for target in served)
    else:
        assert ask(item, KEY) == "item"
        assert item.replace("/7", "/export") in served


def test_flask() -> None:
    registry = bpos.Registry.from_json(document(record(rate_limit=2)))
    app = Flask(__name__)
    app.wsgi_app = Middleware(  # type: ignore[method-assign]
        app.wsgi_app, registry, store=lambda environ: environ["HTTP_HOST"].partition(".")[0]
    )

    @app.get("/api/v1/products")
    def products() -> Response:
        decision = request.environ["bpos.decision"]
        return Response(f"{decision.store} {request.headers.get('X-API-Key')}")

    client = app.test_client()

    def ask(
        method: str = "GET", path: str = "/api/v1/products", key: str = KEY, host: str = "yourstore.brotherpos.ca"
    ) -> Any:
        return client.open(path, method=method, headers={"X-API-Key": key, "Host": host})

    answer = ask(path="/api/v1/products?page=2")
    assert (answer.status_code, answer.text) == (200, "yourstore None")
    assert answer.headers["RateLimit"] == '"default";r=1;t=61'
    assert ask(host="otherstore.brotherpos.ca").get_json()["code"] == "invalid_key"
    assert ask(path="/api/v1/sales").get_json()["code"] == "insufficient_scope"
    assert ask(path=f"/api/v1/products?k={KEY}").get_json()["code"] == "key_in_url"
    assert ask("HEAD").status_code == 200
    limited = ask()
    assert limited.status_code == 429 and 1 <= int(limited.headers["Retry-After"]) <= 61
    assert (ask("HEAD", "/api/v1/sales").status_code, ask("HEAD", "/api/v1/sales").data) == (403, b"")
