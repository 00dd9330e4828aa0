"""Threads, the garbage collector and fork."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any, Callable

import pytest
from sample import KEY, document, record, run_python

import bpos
from bpos import _registry
from bpos._library import Handle


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs the work on so many threads at the same time, and raises what the first one raises."""
    start, failures = threading.Barrier(count), []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_every_thread_sees_its_own_decision_and_its_own_error() -> None:
    threads, calls = 64, 200
    keys = [f"bpos_ThreadKeyThatIsNotSecret{number}" for number in range(threads)]
    records = [
        record(key, id=f"key_{number}", store=f"store{number}", rate_limit=100) for number, key in enumerate(keys)
    ]
    registry = bpos.Registry.from_json(document(*records))

    def work(number: int) -> None:
        for call in range(calls):
            at = bpos.Now(0, call)
            decision = registry.authorize(
                "GET", "/api/v1/products", api_key=keys[number], store=f"store{number}", at=at
            )
            expected = (200, 99 - call) if call < 100 else (429, 0)
            assert (decision.status, decision.remaining) == expected
            assert (decision.key_id, decision.store) == (f"key_{number}", f"store{number}")
            with pytest.raises(bpos.NotFoundError, match=f'"key_none_{number}_{call}"'):
                registry.get(f"key_none_{number}_{call}")

    in_threads(threads, work)
    assert registry.stats().allowed == threads * 100


def test_a_close_leaves_the_calls_in_flight_alone() -> None:
    """Threads that decide, read and write while one of them closes: each is served or told that it is closed."""
    for _ in range(30):
        registry = bpos.Registry.from_json(document(record()))
        busy = threading.Barrier(5)

        def work(number: int, registry: bpos.Registry = registry, busy: threading.Barrier = busy) -> None:
            if number == 0:
                busy.wait()
                return registry.close()
            busy.wait()
            with pytest.raises(bpos.ClosedError):
                while True:
                    registry.authorize("GET", "/api/v1/products", api_key=KEY, store="yourstore")
                    registry.create(name="A", store="yourstore", scopes=[])
                    registry.list()

        in_threads(5, work)


@pytest.fixture
def freed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The registries that the library has freed, as they are."""
    gc.collect()  # what the tests before left
    addresses: list[int] = []
    (close,) = Handle.__del__.__defaults__ or ()

    def counting(handle: Handle) -> None:
        addresses.append(handle.value or 0)
        close(handle)

    monkeypatch.setattr(Handle.__del__, "__defaults__", (counting,))
    return addresses


def test_a_registry_is_freed_once_and_not_before_the_last_call(
    registry: bpos.Registry, freed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = _registry._authorize
    handle = registry._handle
    assert handle is not None
    address, alive = handle.value, weakref.ref(handle)
    del handle

    def closed_in_mid_call(*arguments: Any) -> int:
        registry.close()  # as another thread might, at the worst moment
        gc.collect()
        assert alive() is not None and freed == []
        return int(decide(*arguments))

    monkeypatch.setattr(_registry, "_authorize", closed_in_mid_call)
    assert registry.authorize("GET", "/api/v1/products", api_key=KEY, store="yourstore")
    gc.collect()
    assert freed == [address]
    registry.close()
    gc.collect()
    assert freed == [address]


def test_a_registry_that_nobody_closes_is_freed_with_its_last_reference(freed: list[int]) -> None:
    assert bpos.Registry.from_json(document(record())).authorize(
        "GET", "/api/v1/products", api_key=KEY, store="yourstore"
    )
    gc.collect()
    assert len(freed) == 1


def test_garbage_collection_in_the_middle_of_calls_does_nothing() -> None:
    ran = run_python(GARBAGE, document(record()), KEY)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 0)


GARBAGE = """
import gc, sys, threading
import bpos

gc.set_threshold(1)
document, key = sys.argv[1:]

class Circle:
    def __init__(self):
        self.registry, self.itself = bpos.Registry.from_json(document), self

def work():
    for turn in range(100):
        circle = Circle()
        authorize, records = circle.registry.authorize, circle.registry.list
        del circle
        assert authorize("GET", "/api/v1/products", api_key=key, store="yourstore", at=bpos.Now(0, 0))
        new = bpos.Registry.from_json(document).create(name="A", store="s", scopes=[])
        assert len(records()) == 1
        if turn % 10 == 0:
            gc.collect()
        assert new.key.expose().startswith("bpos_")

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("done")
"""


def test_the_interpreter_ends_with_registries_open_and_threads_in_calls() -> None:
    ran = run_python(ENDING, document(record()), KEY)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 0)


ENDING = """
import sys, threading
import bpos

document, key = sys.argv[1:]
registry = bpos.Registry.from_json(document)
running = threading.Barrier(5)

def work():
    running.wait()
    while True:
        registry.authorize("GET", "/api/v1/products", api_key=key, store="yourstore")
        registry.export()

for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
running.wait()
print("done")
"""


def test_a_forked_child_decides_and_reloads(file: Path) -> None:
    ran = run_python(FORKED, str(file), KEY, "apart")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("0\n", "", 0)


def test_forked_children_count_together(file: Path) -> None:
    file.write_text(document(record(rate_limit=200)))  # as often as all of them ask
    ran = run_python(FORKED, str(file), KEY, "together")
    assert (ran.stdout, ran.stderr, ran.returncode) == ("0\n", "", 0)


FORKED = """
import os, sys, threading, warnings
import bpos

warnings.simplefilter("ignore")  # Python itself warns of a fork beside threads
path, key, how = sys.argv[1:]
registry = bpos.Registry.open(path, shared=how == "together")
running, stop = threading.Barrier(4), threading.Event()

def work():
    running.wait()
    while not stop.is_set():
        registry.reload()

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
running.wait()

def child():
    try:
        for turn in range(10):
            registry.reload()
            assert registry.authorize("GET", "/api/v1/products", api_key=key, store="yourstore")
        registry.close()
        return 0
    except BaseException:
        import traceback
        traceback.print_exc()
        return 1

status = 0
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(child())
    status |= os.waitpid(pid, 0)[1]
stop.set()
for thread in threads: thread.join()
decision = registry.authorize("GET", "/api/v1/products", api_key=key, store="yourstore")
assert decision.allowed == (how == "apart"), decision
print(status)
"""
