"""The request target, from what a web server gives of it."""

from __future__ import annotations

from typing import Optional
from urllib.parse import quote, unquote_to_bytes

__all__ = ["Mismatch", "checked_prefix", "target_of"]

# What a path may have beside letters, digits and "-._~" without being encoded (RFC 3986, section 3.3). A ";" too, which
# bpos refuses if it is plain: whether it was, nobody knows any more.
_PLAIN = "/:@!$&'()*+,;="


class Mismatch(Exception):
    """What is given of a request does not fit together, so that nobody knows what would be served."""


def checked_prefix(prefix: str) -> str:
    """The prefix of a middleware, without a slash at its end."""
    if not isinstance(prefix, str):
        raise TypeError(f"prefix must be str, not {type(prefix).__name__}")
    if prefix and (not prefix.startswith("/") or quote(prefix, safe=_PLAIN) != prefix):
        raise ValueError(f'the prefix is {prefix!r}; expected "" or one such as "/shop", with nothing to encode in it')
    return prefix.rstrip("/")


def target_of(raw: Optional[bytes], path: bytes, query: Optional[bytes], *, prefix: str, served_below: str) -> bytes:
    """The target as it was received, without the prefix: what bpos decides on.

    raw: the path as it was received, perhaps with the query behind it; None if the server does not give it.
    path: the whole decoded path that the application's router goes by.
    query: the query as it was received; None if the server does not give it.
    prefix: what stands before the policy's paths, as the middleware was told.
    served_below: the same as the server says it, to the letter: routers differ in what they make of a slash at its end.

    Raises Mismatch if these contradict each other: then the router would serve another path than bpos decides on.

    Without a raw path the decoded one is encoded again. What was `%2F` in it is a `/` now, to bpos and the router
    alike.
    """
    if served_below != prefix:
        raise Mismatch(
            f"the server's root_path or SCRIPT_NAME is {served_below!r}; expected the middleware's prefix, {prefix!r}. "
            + (
                "Take the slash off its end"
                if served_below.rstrip("/") == prefix
                else f"Set prefix={served_below!r} if the application is served there; let no client say where that is"
            )
        )
    if raw is None:
        raw = quote(path, safe=_PLAIN).encode()
    else:
        raw, mark, behind = raw.partition(b"?")
        if query is None:
            query = behind
        elif mark and query != behind:
            raise Mismatch(f"the raw query is {behind!r}, and the application's {query!r}; expected the same")
    decoded = unquote_to_bytes(raw)
    # Servers differ in what they make of anything else, and bpos denies that whatever the policy says. If it were a
    # Mismatch, any client could make one.
    if raw.startswith(b"/") and _is_utf8(decoded):
        if decoded != path:
            raise Mismatch(
                f"the raw path is {raw!r}, and the application is asked for {path!r}; expected the same. If something "
                "around the middleware has rewritten the path, put the middleware around it, or take the raw path out"
            )
        raw = _below(prefix.encode(), raw)
    return raw + b"?" + query if query else raw


def _below(prefix: bytes, raw: bytes) -> bytes:
    rest = raw[len(prefix) :]
    if not raw.startswith(prefix) or rest[:1] not in (b"", b"/"):
        raise Mismatch(
            f"the path is {raw!r}; expected it to begin with the prefix, {prefix.decode()!r}. If a proxy takes it off, "
            "let the server put it back, as uvicorn does with --root-path, or set neither a root_path nor a prefix"
        )
    return rest


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
