"""Keys masked in texts, and in what the `logging` module writes."""

from __future__ import annotations

import logging
from ctypes import byref, c_char
from typing import Any, AnyStr, Optional

from ._library import library

__all__ = ["RedactingFilter", "redact", "shown"]


def redact(text: AnyStr) -> AnyStr:
    """Masks every API key in a text, percent-encoded ones too: what stays of each is "bpos_" and the next four
    characters, and then asterisks. The length stays.

    >>> redact("GET /?key=bpos_QuickstartExampleNotSecret")
    'GET /?key=bpos_Quic**********************'
    """
    if isinstance(text, str):
        masked = _masked(text.encode("utf-8", "surrogatepass"))
        return text if masked is None else masked.decode("utf-8", "surrogatepass")
    if isinstance(text, bytes):
        masked = _masked(text)
        return text if masked is None else bytes(masked)
    raise TypeError(f"text must be str or bytes, not {type(text).__name__}")


def shown(text: str) -> str:
    """A text as an error may show it: its beginning, without keys, quoted and in ASCII."""
    beginning = redact(text[:240])[:60]
    return ascii(beginning) + ("…" if len(text) > len(beginning) else "")


def _masked(text: bytes) -> Optional[bytearray]:
    """The text with its keys masked, or None if it has none."""
    if not text:
        return None
    masked = bytearray(text)
    return masked if library.bpos_redact(byref(c_char.from_buffer(masked)), len(masked)) else None


class RedactingFilter(logging.Filter):
    """Masks every API key in a log record: in its message, arguments, traceback, stack and extra attributes.

    Add it to each handler, since a logger's own filters do not see what its children log:

        for handler in logging.getLogger().handlers:
            handler.addFilter(bpos.RedactingFilter())

    The message becomes what it would be, masked. Its arguments are masked one by one, so that a formatter that takes
    them apart finds as many; if the message would still show a key, it stands finished in `msg`, without arguments. A
    traceback with a key becomes masked text in `exc_text`, without `exc_info`, since whoever formats that again would
    write the key. Any object among the arguments and the extra attributes whose str or repr shows a key becomes that
    text, masked. What has no key stays as it is. Every record passes, also one whose arguments do not fit its message:
    that is logging's to report.
    """

    def __init__(self) -> None:
        super().__init__()

    def filter(self, record: logging.LogRecord) -> bool:
        message = _message(record)
        record.msg, record.args = _clean(record.msg), _clean(record.args)
        if message is not None and _message(record) != redact(message):
            record.msg, record.args = redact(message), ()
        if record.exc_info:
            text = record.exc_text or _traceback(record.exc_info)
            if redact(text) != text or _clean(record.exc_info) != record.exc_info:
                record.exc_info, record.exc_text = None, text
        for name, value in list(record.__dict__.items()):
            record.__dict__[name] = _clean(value)
        return True


def _message(record: logging.LogRecord) -> Optional[str]:
    try:
        return record.getMessage()
    except Exception:
        return None  # logging will report it, and print the message and its arguments apart, by their repr


def _traceback(exc_info: Any) -> str:
    try:
        return logging.Formatter().formatException(exc_info)
    except Exception:
        return ""  # it is no exc_info, which is logging's to report


_DEEPEST = 8


def _clean(value: Any, depth: int = 0) -> Any:
    """A value with its keys masked: texts, those in plain containers, and all else by its str or its repr, whichever
    shows a key. What holds no key is not replaced."""
    kind = type(value)
    if value is None or kind in (bool, int, float):
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes):
        return redact(value)
    if kind in (dict, list, tuple) and depth < _DEEPEST:
        if kind is dict:
            cleaned = {_clean(key, depth + 1): _clean(item, depth + 1) for key, item in value.items()}
        else:
            cleaned = kind(_clean(item, depth + 1) for item in value)
        return value if cleaned == value else cleaned
    for shown in (str, repr):
        try:
            text = shown(value)
        except Exception:
            continue
        if redact(text) != text:
            return redact(text)
    return value
