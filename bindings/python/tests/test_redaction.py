"""Keys masked in texts and in log records."""

from __future__ import annotations

import collections
import copy
import dataclasses
import io
import json
import logging
import types
from pathlib import Path
from typing import Any, Callable, Iterator

import httpx
import pytest
from sample import KEY
from uvicorn.logging import AccessFormatter
from werkzeug.datastructures import Headers

import bpos

MASKED = "bpos_Quic" + "*" * (len(KEY) - 9)
CLEAN = "GET /api/v1/products 200"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"a {KEY} b {KEY}", f"a {MASKED} b {MASKED}"),
        ("bpos%5F" + KEY[5:], "bpos%5F" + MASKED[5:]),
        (f"é\udcff\ud800{KEY}\0é", f"é\udcff\ud800{MASKED}\0é"),
        (CLEAN, CLEAN),
        ("", ""),
    ],
)
def test_keys_are_masked_in_str_and_bytes(text: str, masked: str) -> None:
    assert bpos.redact(text) == masked
    as_bytes = text.encode("utf-8", "surrogatepass")
    assert bpos.redact(as_bytes) == masked.encode("utf-8", "surrogatepass")
    assert as_bytes == text.encode("utf-8", "surrogatepass")


def test_other_types_are_refused() -> None:
    for wrong in (None, 7, bytearray(b"x"), [KEY]):
        with pytest.raises(TypeError, match="^text must be str or bytes"):
            bpos.redact(wrong)  # type: ignore[type-var]


class Logged:
    """A logger of its own, what it has written, and its last record."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.addFilter(bpos.RedactingFilter())
        self.handler.addFilter(self._keep)
        self.log = logging.Logger("shop", logging.DEBUG)
        self.log.addHandler(self.handler)

    def _keep(self, record: logging.LogRecord) -> bool:
        self.record = record
        return True

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def logged() -> Iterator[Logged]:
    logged = Logged()
    yield logged
    shown = repr(vars(logged.record))
    assert KEY not in logged.text and KEY[9:] not in logged.text
    assert KEY not in shown and KEY[9:] not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        (f"key {KEY}",),
        ("key %s", KEY),
        ("key %s", KEY.encode()),
        ("key bpos_%s", KEY[5:]),
        ("key %(key)s", {"key": KEY}),
        ("key %s", {"headers": [("x-api-key", KEY)]}),
        ("key %s", ValueError(KEY)),
        (ValueError(f"key {KEY}"),),
    ],
)
def test_a_key_in_the_message_is_masked_wherever_it_came_from(logged: Logged, arguments: tuple[Any, ...]) -> None:
    logged.log.warning(*arguments)
    assert "key" in logged.text and MASKED in logged.text


def test_the_message_is_the_one_without_the_filter_but_masked(logged: Logged) -> None:
    lines = ""
    for message, *arguments in ("%s %s %r", KEY, ValueError(KEY), [KEY]), ("%d %s", 7, Url()), ("%(a)s", {"a": {KEY}}):
        logged.log.warning(message, *arguments)
        lines += bpos.redact(logging.LogRecord("", 0, "", 0, message, tuple(arguments), None).getMessage()) + "\n"
    logged.log.warning(Url())
    assert logged.text == f"{lines}Url(/?key={MASKED})\n"


def test_a_formatter_finds_as_many_arguments_as_it_wants(logged: Logged) -> None:
    # uvicorn's takes the five apart, and the client chooses the third.
    logged.handler.setFormatter(AccessFormatter("%(request_line)s %(status_code)s", use_colors=False))
    logged.log.info('%s - "%s %s HTTP/%s" %d', "127.0.0.1:7", "GET", f"/admin?x={KEY}&bpos%5F{KEY[5:]}", "1.1", 401)
    assert logged.text == f"GET /admin?x={MASKED}&bpos%5F{MASKED[5:]} HTTP/1.1 401 Unauthorized\n"
    assert logged.record.args is not None and len(logged.record.args) == 5


def test_what_only_the_parts_together_show_is_masked(logged: Logged) -> None:
    logged.log.warning("key %s%s of %s", KEY[:9], KEY[9:], KEY)
    assert logged.text == f"key {MASKED} of {MASKED}\n"
    assert logged.record.args == ()


def test_a_record_without_a_key_stays_as_it_is(logged: Logged) -> None:
    extra = {"shop": {"id": 1}, "tags": ["a"]}
    logged.log.warning("%s %d %r", CLEAN, 7, [1, "a"], extra=extra)
    assert logged.text == f"{CLEAN} 7 [1, 'a']\n"
    assert (logged.record.msg, logged.record.args) == ("%s %d %r", (CLEAN, 7, [1, "a"]))
    assert logged.record.shop is extra["shop"] and logged.record.tags is extra["tags"]  # type: ignore[attr-defined]


def test_an_argument_that_the_message_does_not_show_is_masked_too(logged: Logged) -> None:
    logged.log.warning("%(n)d", {"n": 1, "key": KEY})
    assert logged.record.args == {"n": 1, "key": MASKED}


class Url:
    """Something that only its repr shows."""

    def __repr__(self) -> str:
        return f"Url(/?key={KEY})"


class Shown(Url):
    """Something that only its str shows."""

    def __repr__(self) -> str:
        return "<shown>"

    def __str__(self) -> str:
        return f"shown {KEY}"


@dataclasses.dataclass
class Login:
    key: str = KEY


@pytest.mark.parametrize(
    "value",
    [
        Headers([("X-API-Key", KEY)]),
        httpx.Headers({"X-API-Key": KEY}),
        {KEY},
        frozenset([KEY.encode()]),
        Login(),
        bytearray(KEY.encode()),
        Url(),
        Shown(),
        ValueError(KEY),
        collections.OrderedDict(key=KEY),
        collections.deque([KEY]),
        types.SimpleNamespace(key=KEY),
        Path("/tmp") / KEY,
    ],
)
@pytest.mark.parametrize("within", [lambda value: value, lambda value: {"k": [(value,)]}])
def test_no_object_keeps_a_key(logged: Logged, value: Any, within: Callable[[Any], Any]) -> None:
    logged.handler.setFormatter(JsonFormatter())
    logged.log.warning(CLEAN, extra={"extra": within(value)})
    logged.log.warning("%(clean)s", {"clean": CLEAN, "other": within(value)})
    logged.log.warning("%.9s", Shown())
    assert "bpos_Quic***" in logged.text


class JsonFormatter(logging.Formatter):
    """Writes all that a record has, as the ones for log collectors do."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = record.getMessage()
        return json.dumps(vars(record), default=str) + repr(vars(record))


def test_objects_without_a_key_stay_themselves(logged: Logged) -> None:
    extra = {"one": Login("key_1"), "two": {"three": [Headers(), {1, 2}, bytearray(b"x"), None, True, 1.5]}}
    kept = copy.copy(extra)
    logged.log.warning("%s %s", CLEAN, extra["one"], extra=extra)
    assert all(getattr(logged.record, name) is kept[name] for name in kept)
    assert logged.record.args is not None and logged.record.args[1] is extra["one"]  # type: ignore[index]


def test_an_exception_that_shows_a_key_elsewhere_than_in_its_traceback_is_left_out(logged: Logged) -> None:
    class Hidden(ValueError):
        def __str__(self) -> str:
            return "hidden"

    try:
        raise Hidden(KEY)
    except Hidden:
        logged.log.exception("failed")
    assert "Hidden: hidden" in logged.text
    assert logged.record.exc_info is None


def test_nothing_is_formatted_for_a_level_that_is_off(logged: Logged) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("formatted")

    logged.log.warning(CLEAN)
    logged.log.setLevel(logging.WARNING)
    logged.log.info("%s", Costly())
    assert logged.text == CLEAN + "\n"


def fail(key: str) -> None:
    try:
        raise KeyError(key)
    except KeyError as cause:
        raise ValueError(f"no such key: {key}") from cause


def test_a_key_in_a_traceback_is_masked_in_the_whole_chain(logged: Logged) -> None:
    try:
        fail(KEY)
    except ValueError:
        logged.log.exception("failed")
    assert logged.text.count(MASKED) == 2
    assert "Traceback (most recent call last):" in logged.text and "in fail" in logged.text
    assert logged.record.exc_info is None


def test_a_traceback_without_a_key_stays_an_exception(logged: Logged) -> None:
    try:
        fail("key_1")
    except ValueError as error:
        logged.log.exception("failed")
        assert logged.record.exc_info is not None and logged.record.exc_info[1] is error
    assert "no such key: key_1" in logged.text


def test_a_traceback_that_another_handler_has_formatted_is_masked(logged: Logged) -> None:
    try:
        fail(KEY)
    except ValueError as error:
        record = logged.log.makeRecord("shop", 40, "", 0, "failed", (), (ValueError, error, None))
    logging.Formatter().format(record)
    logged.handler.handle(record)
    assert MASKED in logged.text


def test_a_stack_and_extra_attributes_are_masked(logged: Logged) -> None:
    headers = {"headers": {"x-api-key": KEY, KEY: [KEY.encode(), (KEY, 1)]}}
    logged.log.warning(CLEAN, extra={"url": f"/?key={KEY}", "request": headers, "deep": nested(20)})
    assert logged.record.url == f"/?key={MASKED}"  # type: ignore[attr-defined]
    masked = {"headers": {"x-api-key": MASKED, MASKED: [MASKED.encode(), (MASKED, 1)]}}
    assert logged.record.request == masked  # type: ignore[attr-defined]
    assert headers["headers"]["x-api-key"] == KEY, "what is the caller's stays as it is"
    logged.log.handle(logging.makeLogRecord({"msg": CLEAN, "levelno": 40, "stack_info": f"Stack:\n {KEY}"}))
    assert f"Stack:\n {MASKED}" in logged.text


def nested(depth: int) -> Any:
    return [nested(depth - 1)] if depth else KEY


def test_containers_that_hold_themselves_come_to_an_end(logged: Logged) -> None:
    circle: list[Any] = [1]
    circle.append(circle)
    logged.log.warning(CLEAN, extra={"circle": circle})
    assert logged.text == CLEAN + "\n"


def test_a_record_that_cannot_be_formatted_is_loggings_to_report(
    logged: Logged, capsys: pytest.CaptureFixture[str]
) -> None:
    logged.log.warning("%d of " + KEY, KEY, Url(), 7)
    said = capsys.readouterr().err
    assert "--- Logging error ---" in said and MASKED in said
    assert KEY not in said and KEY[9:] not in said.replace("KEY", "")
    assert logged.record.args == (MASKED, f"Url(/?key={MASKED})", 7)


def test_what_cannot_even_be_shown_does_not_stop_the_caller(capsys: pytest.CaptureFixture[str]) -> None:
    logged = Logged()

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("broken")

    logged.log.warning("%s %d", Broken(), "x")
    assert "broken" in capsys.readouterr().err
    logged.log.handle(logging.makeLogRecord({"msg": CLEAN, "levelno": 40, "exc_info": ("not", "an", "exception")}))
