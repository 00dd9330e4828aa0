"""The keys of a platform, ready to decide on requests."""

from __future__ import annotations

import json
import operator
import os
import sys
from collections.abc import Iterable, Mapping
from ctypes import c_uint8
from datetime import datetime, timedelta
from typing import Any, List, NoReturn, Optional, Union

from ._decision import SIZE, Decision, decision_of
from ._edit import UNSET, Edit, Unset, grace_s_of, patch_of, spec_of
from ._errors import ClosedError, FileError, FormatError, Status
from ._keys import KeyRecord, NewKey, Stats, new_key_of, record_of, stats_of
from ._library import Handle, RawDecision, answer, call, library
from ._redaction import shown
from ._request import ANY_STORE, Now, Store, Text, encoded, encoded_key, encoded_store
from ._version import AnyPath, Version, version_of

__all__ = ["BUILT_IN_SCOPES", "Registry"]

#: The scopes of the built-in policy. Their numbers, from 1, never change.
BUILT_IN_SCOPES = (
    "products:read",
    "customers:read",
    "sales:read",
    "inventory:read",
    "loyalty:read",
    "gift_cards:read",
    "store_credits:read",
    "products:write",
    "customers:write",
    "inventory:write",
    "webhooks:manage",
)

Policy = Union[AnyPath, Mapping[str, Any]]

_authorize = library.bpos_authorize
_authorize_at = library.bpos_authorize_at
_authorize_scope = library.bpos_authorize_scope
_authorize_scope_at = library.bpos_authorize_scope_at


class Registry:
    """The keys of a platform: `Registry.open` a file, or make one in memory with `Registry.from_json`.

    Any number of threads may use, change and close it at once. Once a change returns, every decision that starts later,
    on any thread, uses it. All processes that open a file, forked children too, count together, and a change in one is in
    force in all: see `shared` of `open`.

    >>> registry = Registry.from_json('{"version": 1, "keys": []}')
    >>> new = registry.create(name="Website Sync", store="yourstore", scopes=["products:read"])
    >>> decision = registry.authorize("GET", "/api/v1/products", api_key=new.key.expose(), store="yourstore")
    >>> decision.allowed, decision.limit, decision.remaining
    (True, 60, 59)
    >>> str(registry.authorize("PATCH", "/api/v1/products/bulk", api_key=new.key.expose(), store="yourstore").reason)
    'insufficient_scope'
    >>> registry.close()
    """

    _handle: Optional[Handle] = None
    _path: Optional[AnyPath] = None  # of a file registry
    _opened_version: Optional[Version] = None

    def __init__(self) -> None:
        raise TypeError("use Registry.open(path) or Registry.from_json(document)")

    # ---- Opening and closing ----

    @classmethod
    def open(
        cls,
        path: AnyPath,
        *,
        policy: Optional[Policy] = None,
        read_only: bool = False,
        shared: Union[bool, AnyPath] = True,
    ) -> Registry:
        """Opens a registry file. Changes are written to it. All processes that open it count together, and each change is
        in force in all of them once it was made.

        policy: the host's own: the `Path` of its file, its JSON text, or an object; None for the built-in one. A text
            is read more strictly: an object cannot show that a member was duplicated.
        read_only: whether changes are refused.
        shared: the folder of the memory that the processes share, if not `/dev/shm`; False for a registry that shares
            nothing, which counts on its own and hears of changes only by `reload()` and `reload_if_changed()`.

        Raises FileError if the file cannot be read, or the memory cannot be shared; FilePermissionError if others may
        write to it; FormatError, ConflictError or LimitError if the document or the policy is not valid.
        """
        version = version_of(path)  # from before the file is read, which may change meanwhile
        registry = cls._made(library.bpos_registry_open, os.fsencode(path), policy, read_only, shared)
        registry._path, registry._opened_version = path, version
        return registry

    @classmethod
    def init(
        cls,
        path: AnyPath,
        *,
        policy: Optional[Policy] = None,
        shared: Union[bool, AnyPath] = True,
    ) -> Registry:
        """Creates a registry file without keys, which must not exist yet, and opens it. It belongs to this process's
        user, and only that user may read and write it. The arguments are those of `open`.

        Raises ConflictError if the file exists already; otherwise as `open`.
        """
        registry = cls._made(library.bpos_registry_init, os.fsencode(path), policy, False, shared)
        registry._path = path
        return registry

    @classmethod
    def from_json(
        cls,
        document: Text,
        *,
        policy: Optional[Policy] = None,
        read_only: bool = False,
    ) -> Registry:
        """Makes a memory registry from a document: the host's own database is the source of truth, and the host passes
        its changes to `apply()`. Nothing is ever written; use `export()` to get changes made with the methods below.

        Raises FormatError, ConflictError or LimitError if the document or the policy is not valid.
        """
        return cls._made(library.bpos_registry_from_json, encoded(document, "document"), policy, read_only)

    @classmethod
    def _made(
        cls, function: Any, source: bytes, policy: Any, read_only: bool, shared: Union[bool, AnyPath] = True
    ) -> Registry:
        members = [b'"read_only": ' + (b"true" if read_only else b"false")]
        if shared is not True:
            folder = shared if shared is False else {"dir": os.fsdecode(shared)}
            members.append(b'"shared": ' + json.dumps(folder).encode())
        if policy is not None:
            policy = _policy_text(policy)
            members.append(b'"policy": ' + policy)
        options = b"{" + b", ".join(members) + b"}"
        handle = Handle()
        call(function, source, len(source), options, len(options), handle)

        names = BUILT_IN_SCOPES if policy is None else [scope["name"] for scope in json.loads(policy)["scopes"]]
        registry = object.__new__(cls)
        registry._scope_ids = {name: library.bpos_scope_id(handle, name.encode(), len(name)) for name in names}
        registry._scope_names = {number: name for name, number in registry._scope_ids.items()}
        registry._handle = handle
        return registry

    _scope_ids: dict[str, int]
    _scope_names: dict[int, str]

    def close(self) -> None:
        """Closes the registry: every later call raises ClosedError, but a second `close()` does nothing. Calls in
        flight on other threads finish normally, and its memory is freed with the last of them."""
        self._handle = None

    def __enter__(self) -> Registry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Registry is neither copied nor pickled: open one in each process")

    # ---- Deciding ----

    def authorize(
        self, method: Text, target: Text, *, api_key: Optional[Text], store: Store, at: Optional[Now] = None
    ) -> Decision:
        """Decides on a request by its method and target.

        target: the request target, path and query, as received and not decoded.
        api_key: the value of the X-API-Key header, as received; None if there is none. For several headers, pass
            something malformed such as ","; never pick one of them.
        store: the store that the request is for. None and an empty one match no key; `ANY_STORE` skips that check.
        at: the time; None for now.

        Never raises for what a client sends. Raises ClosedError after `close()`, and TypeError for a wrong type.
        """
        handle = self._handle
        if handle is None:
            raise ClosedError
        # The usual types are encoded here: a call for each would cost more than the decision itself.
        if type(method) is not bytes:
            method = method.encode("utf-8", "surrogatepass") if type(method) is str else encoded(method, "method")
        if type(target) is not bytes:
            target = target.encode("utf-8", "surrogatepass") if type(target) is str else encoded(target, "target")
        key = api_key.encode("utf-8", "surrogatepass") if type(api_key) is str else encoded_key(api_key)
        name = store.encode("utf-8", "surrogatepass") if type(store) is str else encoded_store(store)
        out = RawDecision(SIZE)
        if at is None:
            _authorize(
                handle, key, len(key or b""), name, len(name or b""), method, len(method), target, len(target), out
            )
        else:
            request = handle, key, len(key or b""), name, len(name or b""), method, len(method), target, len(target)
            _authorize_at(*request, at.unix_ms, at.monotonic_us, out)
        return decision_of(out, self._scope_names)

    def authorize_scope(
        self, scope: str, *, api_key: Optional[Text], store: Store, at: Optional[Now] = None
    ) -> Decision:
        """Decides on a request whose scope the host names: for hosts that do their own routing. The operation writes if
        the scope is a write scope. bpos does not see the request target, so the host must refuse a key in a URL itself.

        scope: its whole name, such as "products:read". One that is not in the policy is the program's mistake, and
            raises ValueError.

        Everything else is as with `authorize`.
        """
        handle = self._handle
        if handle is None:
            raise ClosedError
        if not isinstance(scope, str):
            raise TypeError(f"scope must be str, not {type(scope).__name__}")
        key = api_key.encode("utf-8", "surrogatepass") if type(api_key) is str else encoded_key(api_key)
        name = store.encode("utf-8", "surrogatepass") if type(store) is str else encoded_store(store)
        number = self._scope_ids.get(scope)
        if number is None:
            raise ValueError(f"the policy has no scope {shown(scope)}; it has {', '.join(self._scope_ids)}")
        out = RawDecision(SIZE)
        if at is None:
            _authorize_scope(handle, key, len(key or b""), name, len(name or b""), number, out)
        else:
            when = at.unix_ms, at.monotonic_us
            _authorize_scope_at(handle, key, len(key or b""), name, len(name or b""), number, *when, out)
        return decision_of(out, self._scope_names)

    # ---- The life of a key ----

    def create(
        self,
        *,
        name: str,
        store: str,
        scopes: Iterable[str],
        rate_limit: int = 60,
        expires_at: Optional[datetime] = None,
        test_mode: bool = False,
    ) -> NewKey:
        """Creates a key, which every decision that starts later accepts. The answer holds its plaintext, only this
        once.

        rate_limit: how many requests are admitted in any 60 seconds, 1 to 1000.
        expires_at: when it expires, a datetime with a time zone, to the millisecond.

        Raises FormatError if an argument is not valid; LimitError if the registry is full; ReadOnlyError;
        FileError or another error of `reload()` if the file could not be read or written. After these nothing has
        changed. NotDurableError if the file was written but may lose the change if the machine stops now: find the key
        with `list()`, revoke it and create another, since nobody knows its plaintext.
        """
        spec = spec_of(name, store, scopes, rate_limit, expires_at, test_mode)
        return new_key_of(self._answer(library.bpos_key_create, _json(spec, "spec")))

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
    ) -> KeyRecord:
        """Changes the given parts of a key, and leaves the others. Requests that were admitted before still count: a
        limit changes live.

        scopes: replace all it had.
        expires_at: None for none.

        Raises NotFoundError if no key has the id; ConflictError if the key is revoked; and as `create`. NotDurableError
        if the file may not have the change: what it takes away is in force in this process anyway, and what it grants
        is not. Change the key again.
        """
        patch = patch_of(name, scopes, rate_limit, expires_at, test_mode, enabled)
        return record_of(json.loads(self._answer(library.bpos_key_update, encoded(id, "id"), _json(patch, "patch"))))

    def rotate(self, id: Text, *, grace: timedelta) -> NewKey:
        """Gives a key a new secret; its id, limit, expiry and counts stay.

        grace: for how much longer the previous secret works too, at most 366 days and never past the key's expiry; a
            fraction of a second is cut off. `timedelta(0)` ends it now. A secret still in its grace period from an
            earlier rotation ends now.

        Raises NotFoundError if no key has the id; ConflictError if the key is revoked or expired; LimitError if the
        grace is too long; ValueError if it is negative; and as `create`.
        """
        grace_s = grace_s_of(grace)
        handle, id = self._open(), encoded(id, "id")
        return new_key_of(answer(library.bpos_key_rotate, handle, id, len(id), grace_s))

    def disable(self, id: Text) -> None:
        """Disables a key until `enable`: every decision that starts later denies it. One that is already disabled stays
        disabled. Raises as `update`."""
        handle, id = self._open(), encoded(id, "id")
        call(library.bpos_key_disable, handle, id, len(id))

    def enable(self, id: Text) -> None:
        """Enables a disabled key again. One that is already enabled stays enabled. Raises as `update`."""
        handle, id = self._open(), encoded(id, "id")
        call(library.bpos_key_enable, handle, id, len(id))

    def revoke(self, id: Text) -> None:
        """Revokes a key. Revocation is permanent: nothing enables the key again. Every decision that starts later
        denies it.

        Raises NotFoundError if no key has the id; ReadOnlyError. NotDurableError if the file may not have the
        revocation: the key is denied in all processes that share the registry anyway, but others, and these after a
        restart, may still accept it: free disk space or repair the folder, and revoke it again.
        """
        handle, id = self._open(), encoded(id, "id")
        call(library.bpos_key_revoke, handle, id, len(id))

    def remove(self, id: Text) -> None:
        """Removes the record of a key that is revoked or expired. Its secret is unknown from then on, which is denied
        too.

        Raises NotFoundError if no key has the id; ConflictError if the key is neither revoked nor expired; and as
        `revoke`.
        """
        handle, id = self._open(), encoded(id, "id")
        call(library.bpos_key_remove, handle, id, len(id))

    def edit(self) -> Edit:
        """Begins several changes, which its `commit()` makes together: all or none, in one write."""
        self._open()
        return Edit(self)

    def get(self, id: Text) -> KeyRecord:
        """A key's record. Raises NotFoundError if no key has the id."""
        return record_of(json.loads(self._answer(library.bpos_key_get, encoded(id, "id"))))

    def list(
        self, *, store: Store = ANY_STORE, after: Optional[Text] = None, limit: Optional[int] = None
    ) -> List[KeyRecord]:
        """The records of all keys, or of a store's, in the order of the document. None and an empty store have no keys.

        after, limit: for many keys, which are read in pages: at most so many records, behind the key with this id. The
            cost does not grow with the registry, and behind the last key the list is empty. A key that is created
            meanwhile is behind all others, so whoever goes on from the last id of each page sees every key once that
            was there throughout.

        Raises NotFoundError if no key has the id `after`, perhaps no longer: begin again; ValueError if the limit is
        negative.
        """
        name, behind = encoded_store(store), None if after is None else encoded(after, "after")
        most = sys.maxsize if limit is None else min(operator.index(limit), sys.maxsize)
        if most < 0:
            raise ValueError(f"the limit is {limit}; expected 0 or more")
        texts = (name, len(name or b""), behind, len(behind or b""))
        records = answer(library.bpos_key_list_page, self._open(), *texts, most)
        return [record_of(record) for record in json.loads(records)]

    # ---- The document ----

    def reload(self) -> None:
        """Reads the registry file again and decides by it from then on: for a registry that is not shared, or a file that
        something other than bpos has written. All or nothing: after an error nothing has changed. Keys that are still in
        the file keep their window and their counts; a key that was revoked here stays revoked.

        Raises as `open`; StaleError if the file's revision is lower than the one in force; InvalidArgumentError for a
        memory registry.
        """
        call(library.bpos_registry_reload, self._open())

    def reload_if_changed(self) -> bool:
        """Reads the registry file again if it has changed since it was last read or written here, and returns whether
        it had. The check is one call to the operating system, so a host can make it before each request. Raises as
        `reload()`, and then the next call tries again."""
        changed = c_uint8()
        call(library.bpos_registry_reload_if_changed, self._open(), changed)
        return changed.value == 1

    def apply(self, records: Union[str, bytes, Iterable[Mapping[str, Any]]]) -> None:
        """Applies changes to a memory registry: records as in the registry document, as objects or as the JSON text of
        an array. One with a known id replaces the present one, and keeps its window; others are added. All or nothing.

        Raises FormatError or LimitError for a malformed record; ConflictError for a duplicate id or digest, or a
        revoked key brought back; InvalidArgumentError for a file registry; ReadOnlyError for a read-only one.
        """
        text = _json(records if isinstance(records, (str, bytes)) else [*records], "records")
        call(library.bpos_registry_apply, self._open(), text, len(text))

    def export(self) -> bytes:
        """The registry document that is in force, as JSON. It holds digests, and no keys."""
        return bytes(answer(library.bpos_registry_export, self._open()))

    def stats(self) -> Stats:
        """What the registry has counted. Reads the counters of every key, so the cost grows with their number."""
        return stats_of(json.loads(answer(library.bpos_registry_stats, self._open())))

    # ---- Shared by the methods ----

    def _open(self) -> Handle:
        if self._handle is None:
            raise ClosedError
        return self._handle

    def _answer(self, function: Any, *texts: bytes) -> bytearray:
        return answer(function, self._open(), *(part for text in texts for part in (text, len(text))))


def _policy_text(policy: Policy) -> bytes:
    if isinstance(policy, os.PathLike):
        try:
            with open(policy, "rb") as file:
                return file.read(2**30 + 1)  # one more than the library takes
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise FileError(Status.IO, f"cannot read the policy {os.fspath(policy)!r}: {reason}") from error
    text = _json(policy, "policy")
    if not text.lstrip(b" \t\r\n").startswith(b"{"):
        found = shown(text.decode("utf-8", "replace"))
        expected = "the text of a policy document, an object, or Path(…) for a file"
        raise FormatError(Status.FORMAT, f"the policy is {found}; expected {expected}")
    return text


def _json(value: object, what: str) -> bytes:
    """A JSON text as it is, or the text of a value."""
    return encoded(value, what) if isinstance(value, (str, bytes)) else json.dumps(value).encode()
