"""The WSGI middleware: alone, and with Flask."""

from __future__ import annotations

import json
import logging
from typing import Any, Callable, Optional
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Flask, Response, request
from sample import KEY, document, record

import bpos
from bpos.wsgi import Middleware


class Asked:
    """One request to the middleware around an application, and everything that came of it."""

    def __init__(self, registry: bpos.Registry, store: Any = "yourstore", **members: Optional[str]) -> None:
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
            validator(self._app), registry, store=store if callable(store) else lambda environ: store
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
    uri = {"REQUEST_URI": None, raw: f"/api/v1/products?{query}"}
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
        # A dispatcher has moved the beginning to SCRIPT_NAME.
        ("/api/v1/products", "/products", "allowed"),
    ],
)
@pytest.mark.parametrize("name", ["REQUEST_URI", "RAW_URI"])
def test_the_path_is_taken_as_it_was_received(
    registry: bpos.Registry, name: str, raw: str, path: str, reason: str
) -> None:
    assert Asked(registry, **{"REQUEST_URI": None, name: raw}, PATH_INFO=path).reason == reason


@pytest.mark.parametrize(
    ("script", "path", "reason"),
    [
        ("", "/api/v1/products/7", "allowed"),
        ("/api/v1", "/products/7", "allowed"),
        ("", "/api/v1/products/\xc3\xa9", "allowed"),
        ("", "/api/v1/products/\xff", "unmapped_route"),
        ("", "/api/v1/products?x", "unmapped_route"),
        ("", "/api/v1/products/a%2fb", "unmapped_route"),
        ("", "/api/v1/products/../sales", "unmapped_route"),
        ("", "/api/v1/products/7;x", "unmapped_route"),
        ("", "", "unmapped_route"),
    ],
)
def test_without_a_raw_path_the_decoded_one_is_encoded_again(
    registry: bpos.Registry, script: str, path: str, reason: str
) -> None:
    assert Asked(registry, REQUEST_URI=None, SCRIPT_NAME=script, PATH_INFO=path).reason == reason


def test_a_path_that_was_rewritten_in_between_is_not_decided_on(
    registry: bpos.Registry, caplog: pytest.LogCaptureFixture
) -> None:
    assert Asked(registry, PATH_INFO="/api/v1/sales").status == "500 Internal Server Error"
    assert "the raw path of the request is not the one" in caplog.text


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
