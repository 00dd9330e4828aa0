"""The C library: finding it, checking that it is the right one, and declaring its functions.

It is loaded when `bpos` is imported: a server with a missing or wrong library then fails at start and not at its first
request, and no call has to check for it.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from ._errors import LibraryError, error_of

__all__ = ["ABI_VERSION", "Buffer", "Handle", "RawDecision", "answer", "call", "library"]

#: The BPOS_ABI_VERSION of the header that this file was written from.
ABI_VERSION = 0
_SONAME = "libbpos.so.0"


# ---- The structs of bpos.h ----


class RawDecision(ctypes.Structure):
    """A bpos_decision."""

    _fields_ = [
        ("size", c_uint32),
        ("status", c_int32),
        ("reason", c_uint32),
        ("required_scope", c_uint32),
        ("limit", c_uint32),
        ("remaining", c_uint32),
        ("retry_after_s", c_uint32),
        ("reset_s", c_uint32),
        ("test_mode", c_uint8),
        ("reserved", c_uint8 * 7),
        ("key_id", c_char * 32),
        ("store", c_char * 64),
        ("scope", c_char * 64),
    ]


class RawError(ctypes.Structure):
    """A bpos_error."""

    _fields_ = [
        ("size", c_uint32),
        ("code", c_int32),
        ("message", c_char * 504),
        ("line", c_uint32),
        ("column", c_uint32),
        ("in_file", c_uint32),
    ]


class Buffer(ctypes.Structure):
    """A bpos_buffer."""

    _fields_ = [("data", c_void_p), ("len", c_size_t)]


# ---- The functions of bpos.h ----

_TEXT = (c_char_p, c_size_t)  # bytes and their length; (None, 0) is an absent text
_TIME = (c_int64, c_uint64)
_REQUEST = (c_void_p, *_TEXT, *_TEXT, *_TEXT, *_TEXT)
_SCOPED = (c_void_p, *_TEXT, *_TEXT, c_uint32)
_ERROR = POINTER(RawError)
_ANSWER = (POINTER(Buffer), _ERROR)
_DECISION = POINTER(RawDecision)

# Those that take a microsecond or less, and no lock, keep Python's global lock: releasing it costs more than the call,
# and getting it back from a busy thread would mean waiting.
_SHORT: dict[str, tuple[Any, ...]] = {
    "bpos_authorize": (c_int32, *_REQUEST, _DECISION),
    "bpos_authorize_at": (c_int32, *_REQUEST, *_TIME, _DECISION),
    "bpos_authorize_scope": (c_int32, *_SCOPED, _DECISION),
    "bpos_authorize_scope_at": (c_int32, *_SCOPED, *_TIME, _DECISION),
    "bpos_decision_headers": (c_size_t, _DECISION, c_void_p, c_size_t),
    "bpos_decision_body": (c_size_t, _DECISION, c_void_p, c_size_t),
    "bpos_redact": (c_size_t, c_void_p, c_size_t),
    "bpos_reason_code": (c_char_p, c_uint32),
    "bpos_scope_id": (c_uint32, c_void_p, *_TEXT),
    "bpos_version": (c_char_p,),
}
# The others may wait for a disk or read a large document, and release it for other threads.
_LONG: dict[str, tuple[Any, ...]] = {
    "bpos_registry_open": (c_int32, *_TEXT, *_TEXT, POINTER(c_void_p), _ERROR),
    "bpos_registry_init": (c_int32, *_TEXT, *_TEXT, POINTER(c_void_p), _ERROR),
    "bpos_registry_from_json": (c_int32, *_TEXT, *_TEXT, POINTER(c_void_p), _ERROR),
    "bpos_registry_reload": (c_int32, c_void_p, _ERROR),
    "bpos_registry_reload_if_changed": (c_int32, c_void_p, POINTER(c_uint8), _ERROR),
    "bpos_registry_edit": (c_int32, c_void_p, *_TEXT, *_ANSWER),
    "bpos_registry_apply": (c_int32, c_void_p, *_TEXT, _ERROR),
    "bpos_registry_export": (c_int32, c_void_p, *_ANSWER),
    "bpos_registry_stats": (c_int32, c_void_p, *_ANSWER),
    "bpos_registry_close": (None, c_void_p),
    "bpos_key_create": (c_int32, c_void_p, *_TEXT, *_ANSWER),
    "bpos_key_update": (c_int32, c_void_p, *_TEXT, *_TEXT, *_ANSWER),
    "bpos_key_rotate": (c_int32, c_void_p, *_TEXT, c_uint64, *_ANSWER),
    "bpos_key_revoke": (c_int32, c_void_p, *_TEXT, _ERROR),
    "bpos_key_enable": (c_int32, c_void_p, *_TEXT, _ERROR),
    "bpos_key_disable": (c_int32, c_void_p, *_TEXT, _ERROR),
    "bpos_key_remove": (c_int32, c_void_p, *_TEXT, _ERROR),
    "bpos_key_get": (c_int32, c_void_p, *_TEXT, *_ANSWER),
    "bpos_key_list_page": (c_int32, c_void_p, *_TEXT, *_TEXT, c_size_t, *_ANSWER),
    "bpos_buffer_free": (None, POINTER(Buffer)),
}


def _load() -> SimpleNamespace:
    path, origin = _place()
    advice = "set BPOS_LIBRARY to a libbpos.so.0 of this version, or install the package again"
    try:
        loaded = ctypes.CDLL(path)
    except OSError as error:
        raise LibraryError(f"cannot load {path} ({origin}): {error}; {advice}", path) from error
    try:
        abi_version = loaded.bpos_abi_version
    except AttributeError:
        raise LibraryError(
            f"{path} ({origin}) is not bpos's library: it has no bpos_abi_version; {advice}", path
        ) from None
    abi_version.restype, abi_version.argtypes = c_uint32, []
    if abi_version() != ABI_VERSION:
        versions = f"its ABI version is {abi_version()}, this package needs {ABI_VERSION}"
        raise LibraryError(f"{path} ({origin}) is of another version: {versions}; {advice}", path)

    functions = SimpleNamespace()
    for prototype, signatures in ((ctypes.PYFUNCTYPE, _SHORT), (ctypes.CFUNCTYPE, _LONG)):
        for name, signature in signatures.items():
            try:
                setattr(functions, name, prototype(*signature)((name, loaded)))
            except AttributeError:
                raise LibraryError(f"{path} ({origin}) is too old: it has no {name}; {advice}", path) from None
    return functions


def _place() -> tuple[str, str]:
    """The one library to load, and why that one. If it is wrong, no other is tried: that would hide the mistake."""
    named = os.environ.get("BPOS_LIBRARY")
    if named:
        return os.path.abspath(named), "named by BPOS_LIBRARY"
    bundled = Path(__file__).with_name(_SONAME)
    if bundled.exists():
        return str(bundled), "bundled with the package"
    return _SONAME, "the system's, since the package bundles none"


#: The functions of bpos.h, by their names.
library = _load()


# ---- How they are called ----


class Handle(c_void_p):
    """A bpos_registry, freed with the last reference to it. A call holds one while it runs, so neither `close()` on
    another thread nor the garbage collector can free a registry in use, at no cost to the call.
    """

    def __del__(self, close: Any = library.bpos_registry_close) -> None:
        close(self)  # of NULL, if it was never opened, does nothing

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Two handles of one registry would free it twice.
        raise TypeError("a Registry is neither copied nor pickled: open one in each process")


def call(function: Any, *arguments: Any) -> None:
    """Calls a function whose last parameter is a bpos_error, and raises what it reports."""
    error = RawError(ctypes.sizeof(RawError))
    status = function(*arguments, error)
    if status != 0:
        message = error.message.decode("utf-8", "replace")
        raise error_of(status, message, error.line, error.column, bool(error.in_file))


def answer(function: Any, *arguments: Any) -> bytearray:
    """Calls a function whose last parameters are a bpos_buffer and a bpos_error, and copies its answer. The library
    wipes its own copy."""
    buffer = Buffer()
    try:
        call(function, *arguments, buffer)
        return bytearray((c_char * buffer.len).from_address(buffer.data))
    finally:
        library.bpos_buffer_free(buffer)
