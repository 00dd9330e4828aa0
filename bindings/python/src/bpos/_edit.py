"""Changes to keys: their forms for the library, and several made together."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, List, Optional, Union

from ._keys import KeyRecord, NewKey, date_text, edit_answers_of
from ._library import library
from ._request import Text, encoded

if TYPE_CHECKING:
    from ._registry import Registry

__all__ = ["UNSET", "Edit", "Unset", "grace_s_of", "patch_of", "spec_of"]


class Unset:
    """Stands for a part of a key that `update` leaves alone."""

    def __repr__(self) -> str:
        return "<unchanged>"


UNSET = Unset()


class Edit:
    """Several changes made together: all or none, in one write. `Registry.edit` begins one.

    The methods are those of the registry, but only record the change; `commit()` makes them.

    >>> from bpos import Registry
    >>> registry = Registry.from_json('{"version": 1, "keys": []}')
    >>> edit = registry.edit()
    >>> edit.create(name="Website Sync", store="yourstore", scopes=["products:read"])
    >>> edit.create(name="BI Dashboard", store="yourstore", scopes=["sales:read"])
    >>> [new.record.name for new in edit.commit()]
    ['Website Sync', 'BI Dashboard']
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._changes: list[dict[str, object]] = []

    def create(
        self,
        *,
        name: str,
        store: str,
        scopes: Iterable[str],
        rate_limit: int = 60,
        expires_at: Optional[datetime] = None,
        test_mode: bool = False,
    ) -> None:
        """A new key, as `Registry.create` makes it. Its answer is a NewKey."""
        self._note("create", spec_of(name, store, scopes, rate_limit, expires_at, test_mode))

    def update(
        self,
        id: Text,
        *,
        name: Union[str, Unset] = UNSET,
        scopes: Union[Iterable[str], Unset] = UNSET,
        rate_limit: Union[int, Unset] = UNSET,
        expires_at: Union[datetime, None, Unset] = UNSET,
        test_mode: Union[bool, Unset] = UNSET,
        enabled: Union[bool, Unset] = UNSET,
    ) -> None:
        """Changes parts of a key, as with `Registry.update`. Its answer is the KeyRecord."""
        patch = patch_of(name, scopes, rate_limit, expires_at, test_mode, enabled)
        self._note("update", {"id": _text_of(id), "patch": patch})

    def rotate(self, id: Text, *, grace: timedelta) -> None:
        """A new secret for a key, as with `Registry.rotate`. Its answer is a NewKey."""
        self._note("rotate", {"id": _text_of(id), "grace_s": grace_s_of(grace)})

    def revoke(self, id: Text) -> None:
        """Revokes a key, permanently. Its answer is None, as are those of the next three."""
        self._note("revoke", _text_of(id))

    def disable(self, id: Text) -> None:
        """Disables a key."""
        self._note("disable", _text_of(id))

    def enable(self, id: Text) -> None:
        """Enables a disabled key again."""
        self._note("enable", _text_of(id))

    def remove(self, id: Text) -> None:
        """Removes the record of a key that is revoked or expired."""
        self._note("remove", _text_of(id))

    def commit(self) -> List[Union[NewKey, KeyRecord, None]]:
        """Makes the changes, each of which sees those before it, and returns their answers in order. The edit is empty
        then, and may be used again.

        Raises as the method of the change that is refused, whose number, counted from 1, begins the message; then
        nothing has changed. After NotDurableError what the changes take away is in force in this process, as with
        `Registry.update`.
        """
        changes = json.dumps(self._changes).encode()
        answers = edit_answers_of(self._registry._answer(library.bpos_registry_edit, changes))
        self._changes = []
        return answers

    def _note(self, change: str, what: object) -> None:
        self._changes.append({change: what})


# ---- The forms of the library ----


def spec_of(
    name: str, store: str, scopes: Iterable[str], rate_limit: int, expires_at: Optional[datetime], test_mode: bool
) -> dict[str, object]:
    """The spec of a new key."""
    return {
        "name": name,
        "store": store,
        "scopes": _names(scopes),
        "rate_limit": rate_limit,
        "expires_at": date_text(expires_at),
        "test_mode": test_mode,
    }


def patch_of(
    name: Union[str, Unset],
    scopes: Union[Iterable[str], Unset],
    rate_limit: Union[int, Unset],
    expires_at: Union[datetime, None, Unset],
    test_mode: Union[bool, Unset],
    enabled: Union[bool, Unset],
) -> dict[str, object]:
    """What to change in a key."""
    patch: dict[str, object] = {"name": name, "rate_limit": rate_limit, "test_mode": test_mode, "enabled": enabled}
    patch["scopes"] = scopes if isinstance(scopes, Unset) else _names(scopes)
    patch["expires_at"] = expires_at if isinstance(expires_at, Unset) else date_text(expires_at)
    return {part: value for part, value in patch.items() if value is not UNSET}


def grace_s_of(grace: timedelta) -> int:
    """A grace in whole seconds."""
    if not isinstance(grace, timedelta):
        raise TypeError(f"grace must be a timedelta, not {type(grace).__name__}")
    grace_s = grace // timedelta(seconds=1)
    if grace_s < 0:
        raise ValueError(f"the grace is {grace}; expected 0 to 366 days")
    return grace_s


def _names(scopes: Iterable[str]) -> List[str]:
    if isinstance(scopes, str):  # which is an iterable of letters
        raise TypeError(f'scopes must be several names, not one str: ["{scopes}"]')
    return [*scopes]


def _text_of(id: Text) -> str:
    """An id as JSON can hold it. One that is not UTF-8 becomes another that no key has."""
    return encoded(id, "id").decode("utf-8", "replace")
