"""The request target, from what a web server gives of it."""

from __future__ import annotations

from typing import Optional
from urllib.parse import quote, unquote_to_bytes

__all__ = ["target_of"]

# What a path may have beside letters, digits and "-._~" without being encoded (RFC 3986, section 3.3). A ";" too, which
# bpos refuses if it is plain: whether it was, nobody knows any more.
_PLAIN = "/:@!$&'()*+,;="


def target_of(raw: Optional[bytes], path: bytes, query: bytes) -> bytes:
    """The target as it was received, which is what bpos decides on.

    raw: the path as it was received, perhaps with a query behind it; None if the server does not give it.
    path: the decoded path that the application's router goes by.
    query: the query as it was received.

    If something between has rewritten the path that the router goes by, the raw one says nothing of what will be
    served: then this raises ValueError. Only a prefix may be gone, which routers take off for the applications they
    mount.

    Without a raw path the decoded one is encoded again. What was `%2F` in it is a `/` now, to bpos and the router
    alike.
    """
    if raw is None:
        raw = quote(path, safe=_PLAIN).encode()
    else:
        raw = raw.partition(b"?")[0]
        if not unquote_to_bytes(raw).endswith(path):
            raise ValueError("the raw path of the request is not the one that the application is asked for")
    return raw + b"?" + query if query else raw
