"""The applications that test_servers.py has real servers run, in processes of their own.

Each request, but of `without_a_gate`, is first held at a gate, a socket of the test: it tells its process's id there,
and waits until the test closes it. While a worker is held it takes no other request, so that the test can make one
arrive at each of them.

Where the registry is shared, nothing here looks at its file.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import bpos
import bpos.asgi
import bpos.wsgi

shared = os.environ["BPOS_TEST_SHARED"] == "yes"
registry = bpos.Registry.open(os.environ["BPOS_TEST_REGISTRY"], read_only=True, shared=shared)


def pass_the_gate() -> None:
    with socket.create_connection(("127.0.0.1", int(os.environ["BPOS_TEST_GATE"]))) as gate:
        gate.sendall(b"%d\n" % os.getpid())
        gate.recv(1)


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["bpos.decision"].store.encode()]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": scope["bpos.decision"].store.encode()})


_behind_wsgi = bpos.wsgi.Middleware(
    _wsgi, registry, store=lambda environ: bpos.wsgi.store_of_host(environ, "brotherpos.ca"), reload=not shared
)
without_a_gate = bpos.asgi.Middleware(
    _asgi, registry, store=lambda scope: bpos.asgi.store_of_host(scope, "brotherpos.ca"), reload=not shared
)


def wsgi(environ: Any, start_response: Any) -> Any:
    pass_the_gate()
    return _behind_wsgi(environ, start_response)


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        pass_the_gate()  # and nothing else goes on in this process meanwhile
    await without_a_gate(scope, receive, send)
