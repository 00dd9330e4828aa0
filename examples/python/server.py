#!/usr/bin/env python3
"""A shop's HTTP API behind bpos, with Starlette and uvicorn. This file is what a host has to do; the shop itself, in
shop.py, is made up. It needs the packages of requirements.txt, and bpos: pip install ./bindings/python
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import shop
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware

import bpos
import bpos.asgi

log = logging.getLogger("server")


def main() -> None:
    parser = argparse.ArgumentParser(description="A made-up shop's API, authorized by bpos.")
    parser.add_argument("--registry", type=Path, required=True, help="the document with the keys; read again when it changed")
    parser.add_argument("--listen", default="127.0.0.1:0", help="where to listen; port 0 takes a free one")
    parser.add_argument("--store", help="the store of every request; without it, the host names it")
    parser.add_argument("--domain", default="brotherpos.ca", help="the platform's; hosts are one level below it")
    arguments = parser.parse_args()

    handler = logging.StreamHandler()
    handler.addFilter(bpos.RedactingFilter())  # no key gets into the log, whatever a client puts where
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])

    host, _, port = arguments.listen.rpartition(":")
    try:
        # This program never changes a key, so it asks for no right to.
        registry = bpos.Registry.open(arguments.registry, read_only=True)
        listener = socket.create_server((host, int(port)))
    except (bpos.Error, OSError, ValueError) as error:
        sys.exit(f"server: {error}")

    @contextlib.asynccontextmanager
    async def listening(app: Starlette) -> AsyncIterator[None]:
        print("listening on http://{}:{}".format(*listener.getsockname()[:2]), flush=True)
        yield

    def store(scope: Any) -> str:
        return arguments.store or bpos.asgi.store_of_host(scope, arguments.domain)

    app = Starlette(
        routes=shop.routes(),
        lifespan=listening,
        # Around everything, so that what is no route of the shop is not answered unauthorized either.
        middleware=[Middleware(Logged), Middleware(bpos.asgi.Middleware, registry=registry, store=store)],
    )
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, ws="none"))
    # uvicorn stops on these, and raises them again when it has.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    server.run(sockets=[listener])


class Logged:
    """One line for each request: the exact reason and the key's id are for us, and the client is told less."""

    def __init__(self, app: bpos.asgi.App) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        status = 0

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # A shared cache does not know X-API-Key: it would hand one client's answer to the next.
                message["headers"] = [*message.get("headers", ()), (b"cache-control", b"no-store")]
            await send(message)

        await self.app(scope, receive, noting)
        if scope["type"] == "http":
            target = (scope["raw_path"] + b"?" + scope["query_string"]).decode("latin-1").rstrip("?")
            decision = scope["bpos.decision"]
            line = f"{scope['method']} {target} {status} {decision.reason} {decision.key_id or '-'}"
            # Nothing of the client's can be a line break or a control character.
            log.info("%s", "".join(character if character.isprintable() else "\ufffd" for character in line))


if __name__ == "__main__":
    main()
