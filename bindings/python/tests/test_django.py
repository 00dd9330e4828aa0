"""The Django middleware, with Django's own test clients and handlers."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults

import django
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from sample import EXPORT_KEY, HOSTILE, KEY, document, items, record

import bpos
import bpos.django

if not settings.configured:
    settings.configure(SECRET_KEY="of these tests alone")
django.setup()


def products(request: HttpRequest) -> HttpResponse:
    decision = request.bpos
    seen = [request.META.get("HTTP_X_API_KEY"), request.headers.get("X-API-Key")]
    seen += [value for name, value in getattr(request, "scope", {}).get("headers", []) if name == b"x-api-key"]
    return JsonResponse({"store": decision.store, "key": decision.key_id, "seen": seen})


async def customers(request: HttpRequest) -> HttpResponse:
    return products(request)


urlpatterns = [
    path("api/v1/products", products),
    path("api/v1/customers", customers),
    path("items/<id>", lambda request, id: HttpResponse("item")),
    path("export", lambda request: HttpResponse("export")),
    path("", lambda request: HttpResponse("home")),
]
HEADERS = {"X-API-Key": KEY, "Host": "YourStore.brotherpos.ca"}


def store_of(request: HttpRequest) -> str:
    return bpos.django.store_of_host(request, "brotherpos.ca")


def configured(registry: Any, *around: str, store: Any = store_of, **options: Any) -> Any:
    """The settings of a project with the middleware, and others around it."""
    return override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=[*around, "bpos.django.Middleware"],
        BPOS={"REGISTRY": registry, "STORE": store, **options},
    )


class OneHostClient(AsyncClient):  # type: ignore[misc]
    """Django's sends its own Host beside the one that is given."""

    def _base_scope(self, **request: Any) -> Any:
        scope = super()._base_scope(**request)
        hosts = [header for header in scope["headers"] if header[0] == b"host"]
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"host"] + hosts[-1:]
        return scope


@pytest.fixture(params=[Client, OneHostClient])
def ask(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Asks by a test client of Django's, which makes a middleware of its own."""
    client = request.param()

    def asking(target: str = "/api/v1/products", method: str = "get", **headers: Optional[str]) -> Any:
        given = {**HEADERS, **{name.replace("_", "-"): value for name, value in headers.items()}}
        answer = getattr(client, method)(target, headers={name: value for name, value in given.items() if value})
        return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer

    return asking


def test_what_is_allowed_is_served_with_the_decision_and_without_the_key(
    registry: bpos.Registry, ask: Callable[..., Any]
) -> None:
    registry.update("key_1", scopes=["products:read", "customers:read"])
    with configured(registry, f"{__name__}.Around"):
        for target in ("/api/v1/products?page=2", "/api/v1/customers"):
            answer = ask(target)
            seen = answer.json().pop("seen")
            assert seen[:2] == [None, None] and not seen[2:]
            assert (answer.status_code, answer.json()["store"], answer.json()["key"]) == (200, "yourstore", "key_1")
            assert answer["RateLimit-Policy"] == '"default";q=60;w=60'
            assert answer["RateLimit"].startswith('"default";r=5')
            assert answer["X-Reason"] == "allowed"


def test_what_is_denied_gets_the_librarys_answer(registry: bpos.Registry, ask: Callable[..., Any]) -> None:
    with configured(registry, f"{__name__}.Around"):
        answer = ask(X_API_Key=None)
        assert answer.status_code == 401 and answer["X-Reason"] == "missing_key"
        assert answer["WWW-Authenticate"] == 'ApiKey realm="bpos"'
        assert answer["Content-Type"] == "application/problem+json"
        assert answer["Content-Length"] == str(len(answer.content))
        assert json.loads(answer.content) == {
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
            "detail": "Send an API key in the X-API-Key header.",
            "code": "missing_key",
        }


class Around:
    """What a project has around the middleware: a log that wants the decision, and has looked at the headers."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        assert request.headers.get("X-API-Key") in (None, KEY)
        response = self.get_response(request)
        response["X-Reason"] = str(request.bpos.reason)
        return response


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"target": f"/api/v1/products?k={KEY}"}, 401, "key_in_url"),
        ({"X_API_Key": "bpos_AnotherKeyThatIsNotSecret"}, 401, "invalid_key"),
        ({"X_API_Key": f"{KEY},{KEY}"}, 401, "invalid_key"),
        ({"X_API_Key": "\u00e9"}, 401, "invalid_key"),
        ({"Host": "otherstore.brotherpos.ca"}, 401, "invalid_key"),
        ({"Host": "brotherpos.ca", "X_Forwarded_Host": "yourstore.brotherpos.ca"}, 401, "invalid_key"),
        ({"target": "/api/v1/sales"}, 403, "insufficient_scope"),
        ({"target": "/nowhere"}, 403, "unmapped_route"),
        ({"target": "/"}, 403, "unmapped_route"),
        ({"target": "/api/v1/products//"}, 403, "unmapped_route"),
        ({"target": "/api/v1/products", "method": "post"}, 403, "unmapped_route"),
    ],
)
def test_what_is_denied_never_reaches_a_view(
    registry: bpos.Registry, ask: Callable[..., Any], asked: dict[str, str], status: int, code: str
) -> None:
    with configured(registry):
        answer = ask(**asked)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_denied_head_has_no_body(registry: bpos.Registry, ask: Callable[..., Any]) -> None:
    with configured(registry):
        answer = ask("/api/v1/sales", "head")
        assert (answer.status_code, answer.content) == (403, b"") and int(answer["Content-Length"]) > 100
        assert ask(method="head").status_code == 200
        assert wsgi(None, "", PATH_INFO="/", REQUEST_METHOD="HEAD") == (401, "")


def test_the_limit(ask: Callable[..., Any]) -> None:
    with configured(bpos.Registry.from_json(document(record(rate_limit=1)))):
        assert ask().status_code == 200
        answer = ask()
        assert answer.status_code == 429 and 1 <= int(answer["Retry-After"]) <= 61
        assert answer["RateLimit"].startswith('"default";r=0')


def test_the_registry_is_a_path_too_and_what_others_change_is_known(
    file: Path, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with configured(str(file)), bpos.Registry.open(file) as others:
        assert ask().status_code == 200
        others.revoke("key_1")
        assert ask().json()["code"] == "revoked_key"
        file.write_text("{")
        assert ask().json()["code"] == ask().json()["code"] == "revoked_key"
    logged = [(logged.name, logged.levelno) for logged in caplog.records if logged.name.startswith("bpos")]
    assert logged == [("bpos.django", logging.ERROR)]


def test_without_reload_the_host_sees_to_it_where_nothing_is_shared(file: Path, ask: Callable[..., Any]) -> None:
    with configured(file, RELOAD=False, SHARED=False), bpos.Registry.open(file) as others:
        assert ask().status_code == 200
        others.revoke("key_1")
        assert ask().status_code == 200


def test_a_shared_registry_needs_no_reload(file: Path, ask: Callable[..., Any]) -> None:
    with configured(file, RELOAD=False), bpos.Registry.open(file) as others:
        assert ask().status_code == 200
        others.revoke("key_1")
        assert ask().json()["code"] == "revoked_key"


def test_the_memory_may_be_shared_in_another_folder(file: Path, tmp_path: Path, ask: Callable[..., Any]) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    with configured(file, SHARED=folder):
        assert ask().status_code == 200
    assert [path.name[:5] for path in folder.iterdir()] == ["bpos-"]


def test_a_policy_of_the_hosts_own(tmp_path: Path, file: Path, ask: Callable[..., Any]) -> None:
    policy = {
        "scopes": [{"name": "items:read"}],
        "routes": [{"method": "GET", "path": "/items/{id}", "scope": "items:read"}],
    }
    file.write_text(document(record(scopes=["items:read"])))
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    for given in (policy, tmp_path / "policy.json"):
        with configured(file, POLICY=given):
            assert ask("/items/7").content == b"item"


def raising(request: Any) -> str:
    raise LookupError(f"no store for {KEY}")


@pytest.mark.parametrize("store", [raising, lambda request: 7, f"{__name__}.raising"])
def test_a_store_that_fails_is_500_and_logged_without_keys(
    registry: bpos.Registry, ask: Callable[..., Any], store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with configured(registry, store=store):
        answer = ask()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "bpos.django" in {logged.name for logged in caplog.records} and KEY not in caplog.text


@pytest.mark.parametrize("store", [None, "", "otherstore"])
def test_a_store_that_is_not_found_admits_nobody(
    registry: bpos.Registry, ask: Callable[..., Any], store: Optional[str]
) -> None:
    with configured(registry, store=lambda request: store):
        assert ask().json()["code"] == "invalid_key"


def test_a_closed_registry_is_500(registry: bpos.Registry, ask: Callable[..., Any]) -> None:
    registry.close()
    with configured(registry):
        assert ask().status_code == 500


def test_it_decides_in_the_event_loop_and_needs_no_thread(registry: bpos.Registry) -> None:
    threads = []

    def store(request: HttpRequest) -> str:
        threads.append(threading.current_thread())
        return "yourstore"

    with configured(registry, store=store):
        assert asyncio.run(AsyncClient().get("/api/v1/products", headers=HEADERS)).status_code == 200
    assert threads == [threading.main_thread()]


# ---- The settings ----


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "the setting BPOS is missing; expected a dict with REGISTRY and STORE"),
        ({}, "BPOS lacks REGISTRY, STORE; expected"),
        ({"REGISTRY": "keys.json", "STORE": store_of, "reload": True}, "BPOS has reload; expected"),
        ({"REGISTRY": "keys.json", "POLICIES": {}}, "BPOS has POLICIES and lacks STORE; expected"),
        ({"REGISTRY": 7, "STORE": store_of}, "BPOS['REGISTRY'] is int; expected a path or a bpos.Registry"),
        ({"REGISTRY": items(), "STORE": store_of, "POLICY": {}}, "BPOS['POLICY'] is for a path"),
        ({"REGISTRY": items(), "STORE": store_of, "SHARED": False}, "BPOS['SHARED'] is for a path"),
        ({"REGISTRY": items(), "STORE": 7}, "BPOS['STORE'] is int; expected a function"),
    ],
)
def test_a_mistake_in_the_settings_is_told_before_the_first_request(given: Any, said: str) -> None:
    with configured(None), override_settings(BPOS=given), pytest.raises(ImproperlyConfigured) as caught:
        WSGIHandler()
    assert said in str(caught.value)


def test_a_registry_that_cannot_be_opened_is_told_before_the_first_request(tmp_path: Path) -> None:
    for handler in (WSGIHandler, get_asgi_application):
        with configured(tmp_path / "missing.json"), pytest.raises(bpos.FileError, match="No such file"):
            handler()


# ---- The path: what bpos decides on is what Django serves ----


def wsgi(raw: Optional[str], key: str, handler: Any = None, **members: str) -> tuple[int, str]:
    """Asks a WSGI handler, as a server that gives the raw target or none."""
    environ: dict[str, Any] = {"HTTP_X_API_KEY": key, **members}
    if raw is not None:
        environ["RAW_URI"] = raw
    setup_testing_defaults(environ)
    answered = []
    body = b"".join(
        (handler or WSGIHandler())(environ, lambda status, headers: answered.append(int(status.split()[0])))
    )
    return answered[0], body.decode()


def asgi(raw: Optional[str], key: str, handler: Any, target: str, root_path: str) -> tuple[int, str]:
    """Asks an ASGI handler, as a server that gives the raw path or none."""
    scope = {"type": "http", "method": "GET", "path": unquote(target), "root_path": root_path, "query_string": b""}
    scope["headers"] = [(b"x-api-key", key.encode())]
    if raw is not None:
        scope["raw_path"] = raw.encode()
    sent: list[Any] = []
    received: list[Any] = [{"type": "http.request"}]

    async def receive() -> Any:
        if not received:
            await asyncio.Event().wait()  # the client stays
        return received.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(handler(scope, receive, send))
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:]).decode()


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


#: What takes which prefix off the target on its way to Django: a server by its SCRIPT_NAME or root_path, or a proxy in
#: front of it; and what FORCE_SCRIPT_NAME says.
PREFIXES: list[tuple[str, str, Optional[str]]] = [
    ("", "", None),
    ("/items", "", None),
    ("/items/items", "", None),
    ("/items/", "", None),
    ("/", "", None),
    ("", "/items", None),
    ("", "/items", "/items"),
    ("/items", "", "/items"),
    ("/items", "", "/items/"),
    ("", "", "/items"),
    ("", "", "/shop"),
]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("server", "proxy", "forced"), PREFIXES)
@pytest.mark.parametrize("given", [True, False])
def test_nobody_gets_what_the_key_is_not_for(server: str, proxy: str, forced: Optional[str], given: bool) -> None:
    served = set()
    with configured(items(), store=lambda request: bpos.ANY_STORE), override_settings(FORCE_SCRIPT_NAME=forced):
        of_asgi, of_wsgi = get_asgi_application(), WSGIHandler()
        for target in HOSTILE:
            if not target.startswith(proxy):
                continue
            target = target[len(proxy) :]
            for key in (KEY, EXPORT_KEY):
                raw = target if given else None
                answers = [asgi(raw, key, of_asgi, target, server)]
                if unquote(target).startswith(server):
                    rest = unquote(target)[len(server) :]
                    answers.append(wsgi(raw, key, of_wsgi, SCRIPT_NAME=server, PATH_INFO=rest))
                for status, body in answers:
                    assert body != ("export" if key == KEY else "item"), (target, key)
                    assert (status == 200) == (body in ("export", "item"))
                    served.update([body] if status == 200 else [])
    if not server.endswith("/"):
        assert served == {"export", "item"}


@pytest.mark.parametrize(
    ("raw", "path_info", "script", "status"),
    [
        ("/shop/items/7", "/items/7", "/shop", 200),
        ("/shop/items/7?a=b", "/items/7", "/shop", 200),
        ("/shop", "", "/shop", 403),  # which Django would serve as "/"
        ("/shop/", "/", "/shop", 403),
        ("/items/a%2Fb", "/items/a/b", "", 403),
        ("/items/%C3%A9", "/items/\xc3\xa9", "", 200),
        ("/items/%ff", "/items/\xff", "", 403),
        ("http://yourstore.test/items/7", "/items/7", "", 403),
    ],
)
def test_no_client_makes_a_500(
    raw: str, path_info: str, script: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with configured(items(), store=lambda request: "yourstore"):
        assert wsgi(raw, KEY, SCRIPT_NAME=script, PATH_INFO=path_info, QUERY_STRING=raw.partition("?")[2])[0] == status
    assert not [logged for logged in caplog.records if logged.name == "bpos.django"]


@pytest.mark.parametrize(
    ("raw", "server", "forced"),
    [
        ("/items/7", "", None),
        ("/shop/items/7", "/shop", None),
        ("/shop/items/7", "/shop", "/shop"),
        ("/shop/items/7", "/shop", "/shop/"),
        ("/items/7", "", "/shop"),  # a proxy took it off
        ("/items/7", "", "/"),
    ],
)
def test_the_paths_of_the_policy_are_those_of_the_urlconf(raw: str, server: str, forced: Optional[str]) -> None:
    with configured(items(), store=lambda request: "yourstore"), override_settings(FORCE_SCRIPT_NAME=forced):
        assert wsgi(raw, KEY, SCRIPT_NAME=server, PATH_INFO="/items/7") == (200, "item")


class Rewriting(Around):
    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.path_info = "/items/7"
        return self.get_response(request)


def test_a_path_that_was_rewritten_before_is_not_decided_on(caplog: pytest.LogCaptureFixture) -> None:
    with configured(items(), f"{__name__}.Rewriting", store=lambda request: "yourstore"):
        assert wsgi("/export", KEY, PATH_INFO="/export")[0] == 500
        assert "put the middleware around it" in caplog.text
        assert wsgi(None, EXPORT_KEY, PATH_INFO="/export")[0] == 403
        assert wsgi(None, KEY, PATH_INFO="/export") == (200, "item")


def test_a_method_is_the_one_that_django_goes_by(registry: bpos.Registry) -> None:
    with configured(registry, store=lambda request: "yourstore"):
        asked = {"PATH_INFO": "/api/v1/products", "REQUEST_METHOD": "get"}
        assert wsgi("/api/v1/products", KEY, **asked)[0] == 200
