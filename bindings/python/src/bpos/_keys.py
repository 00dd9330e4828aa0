"""Key records, and the secret of a new key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NoReturn, Optional, Union

from ._decision import Reason
from ._errors import Error, Status

__all__ = [
    "KeyRecord",
    "NewKey",
    "Secret",
    "Stats",
    "Usage",
    "date_text",
    "edit_answers_of",
    "new_key_of",
    "record_of",
    "stats_of",
]


@dataclass(frozen=True)
class Usage:
    """What this process has counted for a key."""

    last_used_at: Optional[datetime]
    """When a request was last admitted, UTC; None if never."""
    allowed: int
    """How many requests were admitted."""
    denied: Mapping[Reason, int] = field(hash=False)
    """How many were denied, by their reason."""


@dataclass(frozen=True)
class KeyRecord:
    """The record of a key. It holds neither the key nor its digest. All times are UTC."""

    id: str
    """Safe to log, and not derived from the secret."""
    name: str
    store: str
    """The only store that the key works for."""
    hint: str
    """"bpos_" and the key's next four characters, for people to tell keys apart."""
    scopes: tuple[str, ...]
    rate_limit: int
    """How many requests are admitted in any 60 seconds."""
    expires_at: Optional[datetime]
    """When the key starts to be denied; None if it does not expire."""
    test_mode: bool
    """Whether the key may only read."""
    enabled: bool
    created_at: Optional[datetime]
    """None if the document does not say."""
    revoked_at: Optional[datetime]
    """None if the key is not revoked."""
    retiring_until: Optional[datetime]
    """When the grace period of the previous secret ends; None if there is none."""
    usage: Usage


@dataclass(frozen=True)
class Stats:
    """What a registry has counted since it was opened in this process."""

    keys: int
    """How many keys the registry holds."""
    revision: int
    """Of the registry document that is in force."""
    allowed: int
    """How many requests were admitted."""
    denied: Mapping[Reason, int] = field(hash=False)
    """How many were denied, by their reason."""


class Secret:
    """A new key's plaintext, which is stored nowhere and cannot be shown again.

    It shows only its hint, cannot be pickled or copied, and is wiped by `wipe()`, at the end of a `with` block, and
    with its last reference. `expose()` returns a str, which Python cannot wipe: hand it on, and keep no reference to
    it.

    >>> with Secret(bytearray(b"bpos_QuickstartExampleNotSecret")) as secret:
    ...     print(secret, len(secret.expose()))
    bpos_Quic**** 31
    >>> secret.expose()
    Traceback (most recent call last):
    ValueError: the secret is wiped
    """

    __slots__ = ("_bytes",)

    def __init__(self, text: bytearray) -> None:
        self._bytes = text

    def expose(self) -> str:
        """The key, to be shown or sent once to whoever asked for it. ValueError if it is wiped."""
        if not self._bytes:
            raise ValueError("the secret is wiped")
        return self._bytes.decode("ascii")

    def wipe(self) -> None:
        """Overwrites the key in memory. Calling it again does nothing."""
        _wipe(self._bytes)
        self._bytes = bytearray()

    def __str__(self) -> str:
        return self._bytes[:9].decode("ascii") + "****" if self._bytes else "wiped"

    def __repr__(self) -> str:
        return f"<Secret {self}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is neither copied nor pickled: expose() gives its text")

    def __enter__(self) -> Secret:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __del__(self) -> None:
        self.wipe()


@dataclass(frozen=True)
class NewKey:
    """What `create` and `rotate` answer."""

    key: Secret
    """The plaintext, shown this once."""
    record: KeyRecord


# ---- From and to the library's JSON. Members may be added to it, so unknown ones are left alone. ----

_KEY_MEMBER = re.compile(rb'"key"\s*:\s*"(bpos_[0-9A-Za-z]+)"')


def new_key_of(answer: bytearray) -> NewKey:
    """What `create` and `rotate` answer."""
    secrets = _taken_out_of(answer)
    if len(secrets) != 1:
        raise _unexpected(f"holds {len(secrets)} keys; expected one")
    return NewKey(secrets[0], record_of(json.loads(answer)["record"]))


def edit_answers_of(answer: bytearray) -> list[Union[NewKey, KeyRecord, None]]:
    """What the changes of an edit answer, in their order."""
    secrets = _taken_out_of(answer)
    answers = json.loads(answer)
    if sum(1 for made in answers if made and "key" in made) != len(secrets):
        raise _unexpected("does not tell which keys are whose")
    keys = iter(secrets)
    return [
        made and (NewKey(next(keys), record_of(made["record"])) if "key" in made else record_of(made))
        for made in answers
    ]


def _taken_out_of(answer: bytearray) -> list[Secret]:
    """Takes the secrets out of an answer before it is parsed, so that no other copy of them comes to be."""
    secrets = []
    for start, end in [found.span(1) for found in _KEY_MEMBER.finditer(answer)]:
        secrets.append(Secret(answer[start:end]))
        answer[start:end] = b"*" * (end - start)
    return secrets


def _unexpected(what: str) -> Error:
    return Error(Status.FORMAT, f"the library's answer {what}: it is of another version than this package")


def record_of(record: Mapping[str, Any]) -> KeyRecord:
    usage = record["usage"]
    return KeyRecord(
        id=record["id"],
        name=record["name"],
        store=record["store"],
        hint=record["hint"],
        scopes=tuple(record["scopes"]),
        rate_limit=record["rate_limit"],
        expires_at=_date_of(record["expires_at"]),
        test_mode=record["test_mode"],
        enabled=record["enabled"],
        created_at=_date_of(record["created_at"]),
        revoked_at=_date_of(record["revoked_at"]),
        retiring_until=_date_of(record["retiring_until"]),
        usage=Usage(_date_of(usage["last_used_at"]), usage["allowed"], _denied_of(usage["denied"])),
    )


def stats_of(stats: Mapping[str, Any]) -> Stats:
    return Stats(stats["keys"], stats["revision"], stats["allowed"], _denied_of(stats["denied"]))


def date_text(date: Optional[datetime]) -> Optional[str]:
    """The library's form of a date, whose fraction ends at milliseconds. A date without a time zone could mean
    anything."""
    if date is None:
        return None
    if not isinstance(date, datetime):
        raise TypeError(f"expected a datetime or None; found {type(date).__name__}")
    if date.utcoffset() is None:
        raise ValueError(f"the date {date} has no time zone: say datetime(…, tzinfo=timezone.utc)")
    return date.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _date_of(text: Optional[str]) -> Optional[datetime]:
    if text is None:
        return None
    if text.startswith("0000"):  # A document may have the year 0, which is before Python's first.
        return datetime.min.replace(tzinfo=timezone.utc)
    seconds, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{seconds}.{fraction:0<6}+00:00")


def _denied_of(denied: Mapping[str, int]) -> dict[Reason, int]:
    return {reason: denied.get(str(reason), 0) for reason in Reason if reason is not Reason.ALLOWED}


def _wipe(text: bytearray) -> None:
    text[:] = bytes(len(text))
