"""Django middleware, for WSGI and ASGI alike, and for Django's own test clients.

    MIDDLEWARE = ["bpos.django.Middleware", ...]  # in the settings, as the first

    BPOS = {
        "REGISTRY": BASE_DIR / "keys.json",
        "STORE": lambda request: bpos.django.store_of_host(request, "example.com"),
    }
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Callable
from urllib.parse import unquote_to_bytes

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from . import _host
from ._decision import Decision
from ._redaction import RedactingFilter
from ._registry import Registry
from ._reload import Reloader
from ._target import Mismatch, target_of

__all__ = ["Middleware", "store_of_host"]

_log = logging.getLogger("bpos.django")
_log.addFilter(RedactingFilter())

_SETTINGS = {"REGISTRY", "STORE", "POLICY", "SHARED", "RELOAD"}


class Middleware:
    """Lets a request through to the view, or answers it with its denial.

    The setting `BPOS` is a dict of

    REGISTRY: the path of the registry file, which is opened read-only, or a `bpos.Registry`.
    STORE: a function that gives the store that a request is for, from the HttpRequest, or its dotted name. None and an
        empty store match no key.
    POLICY, SHARED: as for `Registry.open`; only where REGISTRY is a path.
    RELOAD: as the `reload` of the other middleware.

    The decision is `request.bpos`, for views and for the middleware around this one. The view does not see the
    X-API-Key header, and its answer gets the RateLimit headers. What is decided on is the method and the `path_info`
    that Django goes by to find the view, so the policy's paths are those of the URLconf, wherever it is served. If it
    is not sure which path was asked for, the store cannot be found, because STORE raised, or the registry is closed,
    the answer is a 500, and the log `bpos.django` says why.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        options = _options()
        self.get_response = get_response
        self.registry = _registry_of(options)
        store = options["STORE"]
        self.store = import_string(store) if isinstance(store, str) else store
        if not callable(self.store):
            found = type(store).__name__
            raise ImproperlyConfigured(f"BPOS['STORE'] is {found}; expected a function, or its dotted name")
        self._reloader = Reloader(self.registry, _log, wanted=options.get("RELOAD", True))
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if self._is_async:
            return self._answer_async(request)
        self._reloader.reload_if_changed()
        decision = self._decide(request)
        return _with_headers(self.get_response(request), decision) if decision else _denial(request, decision)

    async def _answer_async(self, request: HttpRequest) -> HttpResponse:
        await self._reloader.reload_if_changed_async()
        decision = self._decide(request)
        return _with_headers(await self.get_response(request), decision) if decision else _denial(request, decision)

    def _decide(self, request: HttpRequest) -> Decision:
        decision = Decision()
        try:
            decision = self.registry.authorize(
                request.method,
                _target_of(request),
                # Django joins several by commas. No key has a comma, so none of them is picked.
                api_key=request.META.get("HTTP_X_API_KEY"),
                store=self.store(request),
            )
        except Mismatch as mismatch:
            _log.error("a request is answered with 500: %s", mismatch)
        except Exception:
            _log.exception("a request could not be decided on, and is answered with 500")
        request.bpos = decision
        _take_out_key(request)
        return decision


def store_of_host(request: HttpRequest, domain: str) -> str:
    """The store that the request's Host header names, one level below the domain; see `bpos.store_of_host`. Django
    joins several by commas, which name none. X-Forwarded-Host is not asked, whatever USE_X_FORWARDED_HOST says."""
    return _host.store_of_host(request.META.get("HTTP_HOST"), domain)


# ---- The settings ----


def _options() -> Mapping[str, Any]:
    options = getattr(settings, "BPOS", None)
    if not isinstance(options, Mapping):
        raise ImproperlyConfigured("the setting BPOS is missing; expected a dict with REGISTRY and STORE")
    unknown, missing = options.keys() - _SETTINGS, {"REGISTRY", "STORE"} - options.keys()
    if unknown or missing:
        found = (("has", unknown), ("lacks", missing))
        wrong = " and ".join(f"{what} {', '.join(sorted(map(str, names)))}" for what, names in found if names)
        expected = "REGISTRY and STORE, and perhaps POLICY, SHARED and RELOAD"
        raise ImproperlyConfigured(f"the setting BPOS {wrong}; expected {expected}")
    return options


def _registry_of(options: Mapping[str, Any]) -> Registry:
    registry, policy = options["REGISTRY"], options.get("POLICY")
    if isinstance(registry, (str, bytes, os.PathLike)):
        return Registry.open(registry, policy=policy, read_only=True, shared=options.get("SHARED", True))
    if not isinstance(registry, Registry):
        raise ImproperlyConfigured(f"BPOS['REGISTRY'] is {type(registry).__name__}; expected a path or a bpos.Registry")
    for name in ("POLICY", "SHARED"):
        if options.get(name) is not None:
            raise ImproperlyConfigured(f"BPOS['{name}'] is for a path in BPOS['REGISTRY']; a bpos.Registry has its own")
    return registry


# ---- The request ----


def _target_of(request: HttpRequest) -> bytes:
    """The target as it was received, below where Django is served."""
    scope, meta = getattr(request, "scope", None), request.META
    if scope is not None:
        raw, query = scope.get("raw_path"), scope.get("query_string", b"")
    else:
        raw, query = meta.get("REQUEST_URI", meta.get("RAW_URI")), meta.get("QUERY_STRING")
    raw, query = (text.encode("latin-1") if isinstance(text, str) else text for text in (raw, query))

    script, path = meta.get("SCRIPT_NAME", "").rstrip("/"), _bytes(request.path_info)
    decoded = None if raw is None else unquote_to_bytes(raw.partition(b"?")[0])
    if decoded is None or decoded == path:  # a proxy may have taken off what FORCE_SCRIPT_NAME says
        script = ""
    elif script and decoded == _bytes(script):  # for which Django goes by "/"
        path = b""
    return target_of(raw, _bytes(script) + path, query, prefix=script, served_below=script)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _take_out_key(request: HttpRequest) -> None:
    request.META.pop("HTTP_X_API_KEY", None)
    vars(request).pop("headers", None)  # which Django makes of META once it is asked for
    scope = getattr(request, "scope", None)
    if scope is not None:
        others = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-api-key"]
        request.scope = {**scope, "headers": others}


# ---- The answer ----


def _denial(request: HttpRequest, decision: Decision) -> HttpResponse:
    body = decision.body
    headers = {**dict(decision.headers), "Content-Length": str(len(body))}
    return HttpResponse(b"" if request.method == "HEAD" else body, status=decision.status, headers=headers)


def _with_headers(response: Any, decision: Decision) -> Any:
    for name, value in decision.headers:
        response[name] = value
    return response
