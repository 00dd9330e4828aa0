"""The store that a request's host names."""

from __future__ import annotations

import re
from typing import Union

__all__ = ["store_of_host"]

#: A label and the domain behind it, and then perhaps a dot and a port. RFC 1035, section 2.3.4, has the longest label.
_HOST = re.compile(r"([A-Za-z0-9_-]{1,63})\.([^:]+?)\.?(?::[0-9]{0,5})?")


def store_of_host(host: Union[str, bytes, None], domain: str) -> str:
    """The store that a request's host names, one level below the platform's domain. It is in lower case, so the stores
    of the keys have to be too.

    >>> store_of_host("YourStore.brotherpos.ca:443", "brotherpos.ca")
    'yourstore'

    host: the value of the one Host header, in HTTP/2 of `:authority`; a port and one trailing dot are cut off. None if
        there is no host, or if there are several: a proxy may have routed by another one. `bpos.asgi`, `bpos.wsgi` and
        `bpos.django` have functions of the same name that find it.

    Wherever there is doubt it is "", which matches no key: for another domain, the domain itself, two levels below it,
    an address, user information ("user@"), a port that is no number, or a label that is not 1 to 63 ASCII letters,
    digits, "-" or "_".
    """
    if host is None:
        return ""
    if not isinstance(host, (str, bytes)):
        raise TypeError(f"host must be str or bytes, not {type(host).__name__}")
    text = host.decode("latin-1") if isinstance(host, bytes) else host
    found = _HOST.fullmatch(text) if text.isascii() and domain.isascii() else None
    return found[1].lower() if found and found[2].lower() == domain.lower() else ""
