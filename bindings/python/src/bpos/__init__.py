"""bpos decides, inside your server's process, whether a request that comes with an API key is allowed: one call, and
the answer is 200, 401, 403 or 429.

    import bpos

    registry = bpos.Registry.open("keys.json")
    decision = registry.authorize("GET", "/api/v1/products", api_key=header, store="yourstore")
    if decision:
        serve(decision.store)
    else:
        respond(decision.status, decision.headers, decision.body)

`bpos.asgi`, `bpos.wsgi` and `bpos.django` have middleware that does so for every request.
"""

from ._decision import Decision, Reason
from ._edit import Edit
from ._errors import (
    ClosedError,
    ConflictError,
    Error,
    FileError,
    FilePermissionError,
    FormatError,
    InvalidArgumentError,
    LibraryError,
    LimitError,
    NotDurableError,
    NotFoundError,
    PanicError,
    ReadOnlyError,
    StaleError,
    Status,
)
from ._host import store_of_host
from ._keys import KeyRecord, NewKey, Secret, Stats, Usage
from ._library import ABI_VERSION, library
from ._redaction import RedactingFilter, redact
from ._registry import Registry
from ._request import ANY_STORE, AnyStore, Now, Store, Text

__all__ = [
    "ABI_VERSION",
    "ANY_STORE",
    "AnyStore",
    "ClosedError",
    "ConflictError",
    "Decision",
    "Edit",
    "Error",
    "FileError",
    "FilePermissionError",
    "FormatError",
    "InvalidArgumentError",
    "KeyRecord",
    "LibraryError",
    "LimitError",
    "NewKey",
    "NotDurableError",
    "NotFoundError",
    "Now",
    "PanicError",
    "ReadOnlyError",
    "Reason",
    "RedactingFilter",
    "Registry",
    "Secret",
    "StaleError",
    "Stats",
    "Status",
    "Store",
    "Text",
    "Usage",
    "redact",
    "store_of_host",
    "version",
]


def version() -> str:
    """The version of the C library that is loaded, such as "0.1.0"."""
    text: bytes = library.bpos_version()
    return text.decode("ascii")
