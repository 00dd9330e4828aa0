"""Prints what a call costs, in microseconds, and as a multiple of the bare ctypes call with the same arguments.

    python bench.py            with the installed package
    python bench.py --quick    only shows that it works

A figure is the fastest of many short rounds. Close other programs: figures of a busy machine are of no use.
"""

import argparse
import ctypes
import hashlib
import hmac
import itertools
import json
import platform
import time
from typing import Any, Callable

import bpos
from bpos._library import RawDecision, library

Call = Callable[[], object]

# A key is admitted at most 1000 times a minute, so it takes some to be admitted all the time.
KEYS = [f"bpos_BenchmarkNotASecret{number:018}" for number in range(400)]
UNKNOWN = "bpos_NobodysKeyNotASecret0000000000000000"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    rounds, calls = (1, 10) if parser.parse_args().quick else (400, 250)

    rows = table()
    fastest = {name: float("inf") for name, _ in rows}
    for _ in range(rounds):  # All in turn, so that a slow moment of the machine meets all of them.
        for name, call in rows:
            fastest[name] = min(fastest[name], us_of(call, calls))

    print(f"bpos {bpos.version()}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"{'what':<52}{'us/call':>8}{'ratio':>7}")
    unit = fastest[rows[0][0]]
    for name, us in fastest.items():
        print(f"{name:<52}{us:>8.2f}{us / unit:>7.2f}")


def us_of(call: Call, calls: int) -> float:
    """The time of one call, in microseconds."""
    turns = range(calls)
    start = time.perf_counter()
    for _ in turns:
        call()
    return (time.perf_counter() - start) / calls * 1e6


def table() -> list[tuple[str, Call]]:
    registry = bpos.Registry.from_json(document(KEYS, rate_limit=1000))
    used_up = bpos.Registry.from_json(document(KEYS[:1], rate_limit=1))
    used_up.authorize("GET", "/api/v1/products", api_key=KEYS[0], store="yourstore")
    decision = used_up.authorize("GET", "/api/v1/products", api_key=KEYS[0], store="yourstore")
    assert decision.status == 429

    keys, presented = itertools.cycle(KEYS), itertools.cycle([key.encode() for key in KEYS])
    bare, out = library.bpos_authorize, RawDecision(ctypes.sizeof(RawDecision))
    stores = {hashlib.sha256(key.encode()).hexdigest(): "yourstore" for key in KEYS}

    def by_hand() -> bool:
        """The identity of a key alone: no scope, no expiry, no limit."""
        store = stores.get(hashlib.sha256(next(keys).encode()).hexdigest())
        return store is not None and hmac.compare_digest(store, "yourstore")

    return [
        # A call without a registry is answered before anything is looked at: what it costs is the way there and back.
        (
            "the bare ctypes call",
            lambda: bare(None, next(presented), 41, b"yourstore", 9, b"GET", 3, b"/api/v1/products", 16, out),
        ),
        (
            "authorize, 200",
            lambda: registry.authorize("GET", "/api/v1/products", api_key=next(keys), store="yourstore"),
        ),
        (
            "authorize, 200, all arguments bytes",
            lambda: registry.authorize(b"GET", b"/api/v1/products", api_key=next(presented), store=b"yourstore"),
        ),
        (
            "authorize, 401, an unknown key",
            lambda: registry.authorize("GET", "/api/v1/products", api_key=UNKNOWN, store="yourstore"),
        ),
        (
            "authorize, 429",
            lambda: used_up.authorize("GET", "/api/v1/products", api_key=KEYS[0], store="yourstore"),
        ),
        (
            "authorize_scope, 200",
            lambda: registry.authorize_scope("products:read", api_key=next(keys), store="yourstore"),
        ),
        ("the answer's headers, 429", lambda: decision.headers),
        ("the answer's body, 429", lambda: decision.body),
        (
            "redact, a line of 60 characters",
            lambda: bpos.redact("GET /api/v1/products?page=2 200 allowed key_4f9hQ2mZk81LxTpWv0"),
        ),
        ("by hand: hashlib and a dict, only whose key it is", by_hand),
    ]


def document(keys: list[str], rate_limit: int) -> str:
    def record(number: int, key: str) -> dict[str, Any]:
        digest = hashlib.sha256(key.encode()).hexdigest()
        names = {"id": f"key_{number:020}", "name": "Benchmark", "store": "yourstore", "sha256": digest}
        return {**names, "scopes": ["products:read"], "rate_limit": rate_limit}

    return json.dumps({"version": 1, "keys": [record(number, key) for number, key in enumerate(keys)]})


main()
