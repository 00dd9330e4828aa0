"""WSGI middleware: for Flask, Django, Pyramid, Bottle and any other WSGI application.

    from bpos.wsgi import Middleware, store_of_host

    app.wsgi_app = Middleware(app.wsgi_app, registry, store=lambda environ: store_of_host(environ, "example.com"))
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Callable

from . import _host
from ._decision import Decision
from ._redaction import RedactingFilter
from ._registry import Registry
from ._reload import Reloader
from ._request import Store
from ._target import Mismatch, checked_prefix, target_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Middleware", "store_of_host"]

_log = logging.getLogger("bpos.wsgi")
_log.addFilter(RedactingFilter())


class Middleware:
    """Lets a request through to the application, or answers it with its denial.

    store: gives the store that a request is for, from its WSGI environment. None and an empty one match no key.
    prefix: what stands before the policy's paths, because the application is mounted or served below it: "/shop" for an
        application in werkzeug's `DispatcherMiddleware(…, {"/shop": app})`. It must be what SCRIPT_NAME is where the
        middleware stands. Whatever is asked for elsewhere is answered with 500.
    reload: whether each request looks at the file of a file registry, one call to the operating system, and reads it
        again if it has changed. If it cannot be read, the keys in force stay, and the log `bpos.wsgi` says why. A shared
        registry needs this only if something other than bpos, such as an editor, writes the file.

    The decision is in `environ["bpos.decision"]`, for the application and for what is around this middleware, a log for
    instance. The X-API-Key header is taken out of the environment, and the application's answer gets the RateLimit
    headers. If it is not sure which path the application would serve, the store cannot be found, because `store`
    raised, or the registry is closed, the answer is a 500, and the log `bpos.wsgi` says why.

    The target is REQUEST_URI or RAW_URI, which most servers give as it was received; without them it is made of
    SCRIPT_NAME, PATH_INFO and QUERY_STRING.
    """

    def __init__(
        self,
        app: WSGIApplication,
        registry: Registry,
        *,
        store: Callable[[WSGIEnvironment], Store],
        prefix: str = "",
        reload: bool = True,
    ) -> None:
        self.app = app
        self.registry = registry
        self.store = store
        self.prefix = checked_prefix(prefix)
        self._reloader = Reloader(registry, _log, wanted=reload)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._reloader.reload_if_changed()
        decision = environ["bpos.decision"] = self._decide(environ)
        environ.pop("HTTP_X_API_KEY", None)
        headers = decision.headers
        if not decision:
            body = decision.body
            status = f"{decision.status} {HTTPStatus(decision.status).phrase}"
            start_response(status, [*headers, ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        def start_with_headers(status: str, own: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            return start_response(status, [*own, *headers], *exc_info)

        return self.app(environ, start_with_headers)

    def _decide(self, environ: WSGIEnvironment) -> Decision:
        try:
            script_name = environ.get("SCRIPT_NAME", "")
            raw = environ.get("REQUEST_URI", environ.get("RAW_URI"))
            query = environ.get("QUERY_STRING")
            api_key = environ.get("HTTP_X_API_KEY")
            return self.registry.authorize(
                environ["REQUEST_METHOD"],
                target_of(
                    None if raw is None else _received(raw),
                    _received(script_name + environ.get("PATH_INFO", "")),
                    None if query is None else _received(query),
                    prefix=self.prefix,
                    served_below=script_name,
                ),
                # Servers join several by commas. No key has a comma, so none of them is picked.
                api_key=None if api_key is None else _received(api_key),
                store=self.store(environ),
            )
        except Mismatch as mismatch:
            _log.error("a request is answered with 500: %s", mismatch)
            return Decision()
        except Exception:
            _log.exception("a request could not be decided on, and is answered with 500")
            return Decision()


def store_of_host(environ: WSGIEnvironment, domain: str) -> str:
    """The store that HTTP_HOST names, one level below the domain; see `bpos.store_of_host`. Several Host headers are
    joined by commas there, and name none."""
    return _host.store_of_host(environ.get("HTTP_HOST"), domain)


def _received(text: str) -> bytes:
    """The bytes that WSGI shows as a str of Latin-1 (PEP 3333)."""
    return text.encode("latin-1")
