"""ASGI middleware: for FastAPI, Starlette, Quart, Litestar and any other ASGI application.

    from bpos.asgi import Middleware, store_of_host

    app.add_middleware(Middleware, registry=registry, store=lambda scope: store_of_host(scope, "example.com"))
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable

from . import _host
from ._decision import Decision
from ._redaction import RedactingFilter
from ._registry import Registry
from ._reload import Reloader
from ._request import Store
from ._target import Mismatch, checked_prefix, target_of

__all__ = ["Middleware", "store_of_host"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = logging.getLogger("bpos.asgi")
_log.addFilter(RedactingFilter())


class Middleware:
    """Lets a request through to the application, or answers it with its denial.

    store: gives the store that a request is for, from its ASGI scope. None and an empty one match no key.
    prefix: what stands before the policy's paths, because the application is mounted or served below it: "/shop" for an
        application in `Mount("/shop", …)`, or behind `uvicorn --root-path /shop`. It must be what the scope's
        `root_path` is where the middleware stands. Whatever is asked for elsewhere is answered with 500.
    reload: whether each request looks at the file of a file registry, one call to the operating system, and waits for
        it to be read again if it has changed; other requests go on meanwhile. If it cannot be read, the keys in force
        stay, and the log `bpos.asgi` says why. A shared registry needs this only if something other than bpos, such as
        an editor, writes the file.

    The decision is in `scope["bpos.decision"]`, for the application and for what is around this middleware, a log for
    instance. The application does not see the X-API-Key header, and its answer gets the RateLimit headers. A websocket
    is asked for as GET. If it is not sure which path the application would serve, the store cannot be found, because
    `store` raised, or the registry is closed, the answer is a 500, and the log `bpos.asgi` says why.
    """

    def __init__(
        self,
        app: App,
        registry: Registry,
        *,
        store: Callable[[Scope], Store],
        prefix: str = "",
        reload: bool = True,
    ) -> None:
        self.app = app
        self.registry = registry
        self.store = store
        self.prefix = checked_prefix(prefix)
        self._reloader = Reloader(registry, _log, wanted=reload)
        # Other frameworks' root_path is a folder.
        root_path = getattr(app, "root_path", "") if hasattr(app, "root_path_in_servers") else ""
        if root_path not in ("", self.prefix):
            raise ValueError(
                f"FastAPI(root_path={root_path!r}) takes that off the path after the middleware has decided; "
                f"use app.add_middleware(bpos.asgi.Middleware, …, prefix={root_path!r})"
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] not in ("http", "websocket"):
            raise ValueError(f"bpos cannot decide on the ASGI scope type {scope['type']!r}")

        await self._reloader.reload_if_changed_async()
        decision = scope["bpos.decision"] = self._decide(scope)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in decision.headers]
        if not decision:
            return await _deny(decision, headers, scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in _ANSWERS:
                message = {**message, "headers": [*message.get("headers", ()), *headers]}
            await send(message)

        others = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-api-key"]
        await self.app({**scope, "headers": others}, receive, send_with_headers)

    def _decide(self, scope: Scope) -> Decision:
        try:
            keys = [value for name, value in scope["headers"] if name.lower() == b"x-api-key"]
            return self.registry.authorize(
                scope.get("method", "GET"),
                target_of(
                    scope.get("raw_path"),
                    scope["path"].encode("utf-8", "surrogatepass"),
                    scope.get("query_string"),
                    prefix=self.prefix,
                    served_below=scope.get("root_path") or "",
                ),
                # HTTP reads several as one, joined by commas. No key has a comma, so none of them is picked.
                api_key=b",".join(keys) if keys else None,
                store=self.store(scope),
            )
        except Mismatch as mismatch:
            _log.error("a request is answered with 500: %s", mismatch)
            return Decision()
        except Exception:
            _log.exception("a request could not be decided on, and is answered with 500")
            return Decision()


def store_of_host(scope: Scope, domain: str) -> str:
    """The store that the one `host` header of a scope names, one level below the domain; see `bpos.store_of_host`.
    There a server of HTTP/2 puts `:authority` (the ASGI specification, "HTTP & WebSocket")."""
    hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
    return _host.store_of_host(hosts[0] if len(hosts) == 1 else None, domain)


_ANSWERS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


async def _deny(
    decision: Decision, headers: list[tuple[bytes, bytes]], scope: Scope, receive: Receive, send: Send
) -> None:
    prefix = ""
    if scope["type"] == "websocket":
        await receive()  # its "websocket.connect"
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            return await send({"type": "websocket.close", "code": 1008})  # which the server answers with 403
        prefix = "websocket."
    body = decision.body
    headers = [*headers, (b"Content-Length", b"%d" % len(body))]
    body = b"" if scope.get("method") == "HEAD" else body
    await send({"type": prefix + "http.response.start", "status": decision.status, "headers": headers})
    await send({"type": prefix + "http.response.body", "body": body})
