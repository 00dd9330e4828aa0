"""What comes in: the texts of a request, the store that it is for, and the time."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Optional, Union

__all__ = ["ANY_STORE", "AnyStore", "Now", "Store", "Text", "encoded", "encoded_key", "encoded_store"]

#: A text of a request. A str is sent as UTF-8; bytes are sent as they are.
Text = Union[str, bytes]


class AnyStore(enum.Enum):
    """The type of `ANY_STORE`."""

    ANY_STORE = "any store"

    def __repr__(self) -> str:
        return "bpos.ANY_STORE"


#: In the place of a store: leave that check out, and admit the keys of all stores.
ANY_STORE: Final = AnyStore.ANY_STORE

#: The store that a request is for. None and an empty one match no key: a host that failed to find its store is no
#: reason to skip the check.
Store = Union[str, bytes, None, AnyStore]


@dataclass(frozen=True)
class Now:
    """The two clocks of a decision, for tests and replays. All calls on one registry must use the same clocks."""

    unix_ms: int
    """Milliseconds since 1970-01-01T00:00:00Z. Decides whether a key has expired, and nothing else."""
    monotonic_us: int
    """Microseconds on a clock that never goes back. Decides the rate limit, and nothing else."""

    def __post_init__(self) -> None:
        # ctypes would cut off what does not fit.
        for name, value, least in (("unix_ms", self.unix_ms, -(2**63)), ("monotonic_us", self.monotonic_us, 0)):
            if not isinstance(value, int):
                raise TypeError(f"{name} must be int, not {type(value).__name__}")
            if not least <= value < 2**63:
                raise ValueError(f"{name} is {value}; expected {least} to {2**63 - 1}")


def encoded(text: object, what: str) -> bytes:
    """The bytes of a text. A str with lone surrogates becomes bytes that are not UTF-8, which match nothing: it is
    denied and never fails. (`Registry.authorize` does the same to a plain str without coming here.)"""
    if isinstance(text, str):
        return str.encode(text, "utf-8", "surrogatepass")
    if isinstance(text, bytes):
        return bytes(memoryview(text))  # of a subclass too, whose own length could be anything
    raise TypeError(f"{what} must be str or bytes, not {type(text).__name__}")


def encoded_key(api_key: Optional[Text]) -> Optional[bytes]:
    """A key as the library takes it: None is no key."""
    if type(api_key) is bytes or api_key is None:
        return api_key
    return encoded(api_key, "api_key")


def encoded_store(store: Store) -> Optional[bytes]:
    """A store as the library takes it. To it None leaves the check out, so only ANY_STORE becomes None."""
    if type(store) is bytes:
        return store
    if store is ANY_STORE:
        return None
    return b"" if store is None else encoded(store, "store")
