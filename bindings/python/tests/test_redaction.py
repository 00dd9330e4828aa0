"""Keys masked in texts and in log records."""

from __future__ import annotations

import io
import logging
from typing import Any, Iterator

import pytest
from sample import KEY

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
    assert not logged.record.args


def test_a_record_without_a_key_stays_as_it_is(logged: Logged) -> None:
    extra = {"shop": {"id": 1}, "tags": ["a"]}
    logged.log.warning("%s %d %r", CLEAN, 7, [1, "a"], extra=extra)
    assert logged.text == f"{CLEAN} 7 [1, 'a']\n"
    assert (logged.record.msg, logged.record.args) == ("%s %d %r", (CLEAN, 7, [1, "a"]))
    assert logged.record.shop is extra["shop"] and logged.record.tags is extra["tags"]  # type: ignore[attr-defined]


def test_an_argument_that_the_message_does_not_show_is_masked_too(logged: Logged) -> None:
    logged.log.warning("%(n)d", {"n": 1, "key": KEY})
    assert logged.record.args == {"n": 1, "key": MASKED}


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
    class Url:
        def __repr__(self) -> str:
            return f"Url(/?key={KEY})"

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
