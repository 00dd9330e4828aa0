"""The middleware keeps up with the registry's file: test_servers.py has the same with real servers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from sample import KEY, document, record

import bpos
import bpos.asgi
import bpos.wsgi
from bpos import _version

SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/api/v1/products",
    "query_string": b"",
    "headers": [(b"x-api-key", KEY.encode())],
}
ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/v1/products", "HTTP_X_API_KEY": KEY}
#: Asks a middleware around some application, and gives the reason of its decision.
Ask = Callable[[], str]


def asking_asgi(registry: bpos.Registry, **options: Any) -> Ask:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    middleware = bpos.asgi.Middleware(app, registry, store=lambda scope: "yourstore", **options)

    def ask() -> str:
        scope = {**SCOPE}
        asyncio.run(middleware(scope, silent, silent))
        return reason_of(scope)

    return ask


def asking_wsgi(registry: bpos.Registry, **options: Any) -> Ask:
    middleware = bpos.wsgi.Middleware(lambda environ, start: [], registry, store=lambda _: "yourstore", **options)

    def ask() -> str:
        environ = {**ENVIRON}
        middleware(environ, lambda *answer: lambda data: None)
        return reason_of(environ)

    return ask


def reason_of(asked: dict[str, Any]) -> str:
    return str(asked["bpos.decision"].reason)


async def silent(*_: Any) -> Any:
    pass


NEVER, ALWAYS = -1, 2**63


@pytest.fixture(autouse=True)
def tick_ns(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets what counts as just now: these tests change files, and do not depend on how fast they are."""

    def setting(tick_ns: int) -> None:
        monkeypatch.setattr(_version, "_TICK_NS", tick_ns)

    setting(NEVER)
    return setting


@pytest.fixture(params=[asking_asgi, asking_wsgi])
def asking(request: pytest.FixtureRequest) -> Callable[..., Ask]:
    made: Callable[..., Ask] = request.param
    return made


@pytest.mark.parametrize("shared", [True, False])
def test_the_next_request_knows_what_others_changed(file: Path, asking: Callable[..., Ask], shared: bool) -> None:
    ask = asking(bpos.Registry.open(file, read_only=True, shared=shared))
    with bpos.Registry.open(file) as others:
        assert ask() == "allowed"
        others.disable("key_1")
        assert ask() == "disabled_key"
        others.enable("key_1")
        assert ask() == "allowed"
        others.revoke("key_1")
        assert ask() == "revoked_key"


def test_without_reload_the_host_sees_to_it_where_nothing_is_shared(file: Path, asking: Callable[..., Ask]) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    ask = asking(registry, reload=False)
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")
    assert ask() == "allowed"
    registry.reload()
    assert ask() == "revoked_key"


def test_a_shared_registry_needs_no_reload(
    file: Path, asking: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = bpos.Registry.open(file, read_only=True)
    reads = counting_reads(registry, monkeypatch)
    ask = asking(registry, reload=False)
    with bpos.Registry.open(file) as others:
        assert ask() == "allowed"
        others.revoke("key_1")
        assert ask() == "revoked_key"
    assert reads == []


def test_what_was_changed_while_the_middleware_was_made_is_known(file: Path, asking: Callable[..., Ask]) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")
    assert asking(registry)() == "revoked_key"


def test_a_registry_that_init_made_and_one_in_memory_are_asked_too(tmp_path: Path, asking: Callable[..., Ask]) -> None:
    path = tmp_path / "keys.json"
    ask = asking(bpos.Registry.init(path))
    assert ask() == "unknown_key"
    path.write_text(document(record(), revision=2))
    assert ask() == "allowed"
    assert asking(bpos.Registry.from_json(document(record())))() == "allowed"


def test_a_file_that_has_not_changed_is_not_read(
    file: Path, asking: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = bpos.Registry.open(file, read_only=True)
    monkeypatch.setattr(registry, "reload", lambda: pytest.fail("it is read"))
    ask = asking(registry)
    assert [ask(), ask()] == ["allowed"] * 2


def test_a_change_is_read_once(file: Path, asking: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    reads = counting_reads(registry, monkeypatch)
    ask = asking(registry)
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")
    assert [ask(), ask(), ask()] == ["revoked_key"] * 3
    assert len(reads) == 1


def test_a_file_that_was_changed_just_now_is_read_again(
    file: Path, asking: Callable[..., Ask], monkeypatch: pytest.MonkeyPatch, tick_ns: Callable[[int], None]
) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    reads = counting_reads(registry, monkeypatch)
    ask = asking(registry)
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")
    tick_ns(ALWAYS)  # another change would bear the same times
    assert [ask(), ask()] == ["revoked_key"] * 2
    assert len(reads) == 2
    tick_ns(NEVER)
    assert [ask(), ask()] == ["revoked_key"] * 2
    assert len(reads) == 3


def test_a_file_was_changed_just_now_for_20_ms(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    changed = file.stat().st_ctime_ns
    for after, settled in (
        (0, False),
        (20_000_000, False),
        (20_000_001, True),
        (-20_000_000, False),
        (-(10**12), True),
    ):
        monkeypatch.setattr(time, "time_ns", lambda after=after: changed + after)
        assert (_version.version_of(file) is not None) == settled, after


def test_a_file_with_a_mistake_leaves_the_keys_in_force_and_is_told_once(
    file: Path, asking: Callable[..., Ask], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = bpos.Registry.open(file, read_only=True)
    reads = counting_reads(registry, monkeypatch)
    ask = asking(registry)
    for content in ("{", f'{{"version": 1, "keys": [{{"id": "{KEY}"}}]}}', document(record(), revision=0)):
        caplog.clear()
        reads.clear()
        file.write_text(content)
        assert [ask(), ask(), ask()] == ["allowed"] * 3
        (logged,) = caplog.records
        assert logged.name in ("bpos.asgi", "bpos.wsgi") and logged.levelno == logging.ERROR
        assert logged.getMessage().startswith("not reloaded, the keys in force stay: ") and KEY not in caplog.text
        assert len(reads) == 1  # the same file would have the same mistake
    file.write_text(document(record(enabled=False), revision=2))
    assert ask() == "disabled_key"
    caplog.clear()
    file.write_text("{")
    assert ask() == "disabled_key" and len(caplog.records) == 1


def test_a_file_that_cannot_be_read_is_tried_again_with_each_request(
    file: Path, asking: Callable[..., Ask], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    ask = asking(registry)
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")
    with monkeypatch.context() as patched:
        patched.setattr(registry, "reload", raising_too_many_files)
        assert [ask(), ask(), ask()] == ["allowed"] * 3
    assert [logged.getMessage() for logged in caplog.records] == [
        "not reloaded, the keys in force stay: Too many open files"
    ]
    assert ask() == "revoked_key"  # though the file has not changed since

    file.unlink()
    assert [ask(), ask()] == ["revoked_key"] * 2
    assert len(caplog.records) == 2 and "No such file" in caplog.text


def raising_too_many_files() -> None:
    raise bpos.FileError(bpos.Status.IO, "Too many open files")


def test_a_closed_registry_is_not_told_as_a_file_that_cannot_be_read(
    file: Path, asking: Callable[..., Ask], caplog: pytest.LogCaptureFixture
) -> None:
    registry = bpos.Registry.open(file)
    ask = asking(registry)
    registry.close()
    file.write_text("{")
    assert ask() == "internal"
    assert len(caplog.records) == 1 and "the registry is closed" in caplog.text and "stay" not in caplog.text


def test_a_request_does_not_go_by_what_another_thread_read_before_the_change(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    ask, reload = asking_wsgi(registry), registry.reload
    has_read, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        reload()
        if threading.current_thread() is first:
            has_read.set()
            assert may_end.wait(60)

    monkeypatch.setattr(registry, "reload", slow)
    first = threading.Thread(target=ask)
    with bpos.Registry.open(file) as others:
        others.update("key_1", name="Another")
        first.start()
        assert has_read.wait(60)
        others.revoke("key_1")
    assert ask() == "revoked_key"
    may_end.set()
    first.join()
    assert ask() == "revoked_key"


def test_the_event_loop_goes_on_while_a_file_is_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = bpos.Registry.open(file, read_only=True, shared=False)
    reload, gone_on = registry.reload, threading.Event()
    outcome: list[bool] = []

    def slow() -> None:
        outcome.append(gone_on.wait(10))  # in vain if this holds up the loop
        reload()

    monkeypatch.setattr(registry, "reload", slow)
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pytest.fail("it is served")

    middleware = bpos.asgi.Middleware(app, registry, store=lambda scope: "yourstore")
    scope: dict[str, Any] = {**SCOPE}

    async def both() -> None:
        asked = asyncio.create_task(middleware(scope, silent, silent))
        await asyncio.sleep(0)
        gone_on.set()
        await asked

    asyncio.run(both())
    assert outcome == [True] and reason_of(scope) == "revoked_key"


def test_another_kind_of_event_loop_reads_it_too(file: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        pytest.fail("it is served")

    registry = bpos.Registry.open(file, shared=False)
    middleware = bpos.asgi.Middleware(app, registry, store=lambda scope: "yourstore")
    with bpos.Registry.open(file) as others:
        others.revoke("key_1")
    scope: dict[str, Any] = {**SCOPE}
    with pytest.raises(StopIteration):
        middleware(scope, silent, silent).send(None)  # as trio would
    assert reason_of(scope) == "revoked_key"


def counting_reads(registry: bpos.Registry, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    reads: list[None] = []
    reload = registry.reload

    def counted() -> None:
        reads.append(None)
        reload()

    monkeypatch.setattr(registry, "reload", counted)
    return reads
