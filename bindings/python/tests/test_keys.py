"""The life of a key."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sample import KEY, document, record

import bpos
from bpos._keys import edit_answers_of, new_key_of
from bpos._library import answer, library

UTC = timezone.utc


def asked(registry: bpos.Registry, key: str) -> str:
    return str(registry.authorize("GET", "/api/v1/products", api_key=key, store="yourstore").reason)


def test_a_key_lives(file: Path) -> None:
    registry = bpos.Registry.open(file)
    expiry = datetime(2099, 1, 1, tzinfo=UTC)
    new = registry.create(
        name="Website Sync",
        store="yourstore",
        scopes=("products:read", "sales:read"),
        rate_limit=120,
        expires_at=expiry,
    )
    key, id = new.key.expose(), new.record.id
    assert asked(registry, key) == "allowed"
    kept = registry.get(id)
    assert (kept.name, kept.store, kept.hint) == ("Website Sync", "yourstore", key[:9])
    assert (kept.scopes, kept.rate_limit, kept.expires_at) == (("products:read", "sales:read"), 120, expiry)
    assert (kept.test_mode, kept.enabled, kept.revoked_at, kept.retiring_until) == (False, True, None, None)
    assert kept.created_at is not None and kept.created_at.tzinfo is UTC
    assert kept.usage.allowed == 1 and kept.usage.last_used_at is not None
    assert new.record.usage.last_used_at is None

    assert registry.update(id, enabled=False).enabled is False
    assert asked(registry, key) == "disabled_key"
    registry.enable(id)
    assert asked(registry, key) == "allowed"
    registry.disable(id)
    assert asked(registry, key) == "disabled_key"
    changed = registry.update(id, enabled=True, name="Sync", scopes=["products:write"], rate_limit=300, expires_at=None)
    assert (changed.name, changed.scopes, changed.rate_limit, changed.expires_at) == (
        "Sync",
        ("products:write",),
        300,
        None,
    )
    assert registry.update(id, test_mode=True).test_mode is True
    assert registry.update(id).name == "Sync"

    rotated = registry.rotate(id, grace=timedelta(hours=1))
    assert rotated.record.id == id and rotated.record.retiring_until is not None
    assert rotated.key.expose() != key
    assert asked(registry, key) == asked(registry, rotated.key.expose()) == "allowed"
    again = registry.rotate(id, grace=timedelta(0)).key.expose()
    assert asked(registry, rotated.key.expose()) == "unknown_key"

    with pytest.raises(bpos.ConflictError):
        registry.remove(id)
    registry.revoke(id)
    assert asked(registry, again) == "revoked_key"
    assert registry.get(id).revoked_at is not None
    assert registry.get(id).usage.denied[bpos.Reason.REVOKED_KEY] == 1
    with pytest.raises(bpos.ConflictError):
        registry.update(id, enabled=True)
    registry.remove(id)
    with pytest.raises(bpos.NotFoundError, match=id):
        registry.get(id)
    assert [key.id for key in bpos.Registry.open(file).list()] == ["key_1"]


def test_a_list_is_of_all_or_of_one_store() -> None:
    other = record("bpos_AnotherKeyThatIsNotSecret", id="key_2", store="otherstore")
    registry = bpos.Registry.from_json(document(record(), other))

    def ids(**store: Any) -> list[str]:
        return [key.id for key in registry.list(**store)]

    assert ids() == ids(store=bpos.ANY_STORE) == ["key_1", "key_2"]
    assert ids(store="otherstore") == ids(store=b"otherstore") == ["key_2"]
    assert ids(store=None) == ids(store="") == ids(store="\udcff") == ids(store="other") == []


def test_a_list_is_read_in_pages() -> None:
    keys = [
        record(f"bpos_AKeyThatIsNotSecretNumber{n}", id=f"key_{n}", store="other" if n == 3 else "yourstore")
        for n in range(1, 6)
    ]
    registry = bpos.Registry.from_json(document(*keys))

    def page(**page: Any) -> list[str]:
        return [key.id.removeprefix("key_") for key in registry.list(**page)]

    assert page(limit=2) == page(limit=2, after=None) == ["1", "2"]
    assert page(limit=2, after="key_2") == page(limit=2, after=b"key_2") == ["3", "4"]
    assert page(limit=2, after="key_4") == page(after="key_4") == ["5"]
    assert page(limit=2, after="key_5") == page(limit=0) == []
    assert page(store="yourstore", limit=2, after="key_2") == page(store="yourstore", after="key_3") == ["4", "5"]
    assert page(limit=2**64) == page(limit=2**64 + 1) == page() == ["1", "2", "3", "4", "5"]
    for none in ("key_none", "", "\udcff"):
        with pytest.raises(bpos.NotFoundError, match="no key has the id"):
            page(after=none)
    with pytest.raises(ValueError, match="^the limit is -1; expected 0 or more$"):
        page(limit=-1)
    for limit in ("2", 2.5):
        with pytest.raises(TypeError):
            page(limit=limit)
    with pytest.raises(TypeError, match="^after must be str or bytes, not int$"):
        page(after=2)


@pytest.mark.parametrize("method", ["update", "enable", "disable", "revoke", "remove", "get"])
def test_an_id_that_no_key_has_is_not_found(registry: bpos.Registry, method: str) -> None:
    for id in ("key_none", "key_1\0", "", "\ud800", b"\xff"):
        with pytest.raises(bpos.NotFoundError, match="no key has the id"):
            getattr(registry, method)(id)
    with pytest.raises(TypeError, match="^id must be str or bytes, not int$"):
        getattr(registry, method)(1)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("name", ""),
        ("name", "a\nb"),
        ("name", 7),
        ("name", "\ud800"),
        ("scopes", ["product:read"]),
        ("rate_limit", 0),
        ("rate_limit", 1001),
        ("rate_limit", float("nan")),
        ("test_mode", None),
    ],
)
def test_a_part_that_is_not_as_it_has_to_be_is_refused(registry: bpos.Registry, part: str, value: Any) -> None:
    spec: dict[str, Any] = {"name": "A", "store": "yourstore", "scopes": [], part: value}
    with pytest.raises(bpos.FormatError):
        registry.create(**spec)
    with pytest.raises(bpos.FormatError):
        registry.update("key_1", **{part: value})
    assert len(registry.list()) == 1
    assert registry.get("key_1").name == "A test"


def test_one_scope_is_not_many_letters(registry: bpos.Registry) -> None:
    with pytest.raises(TypeError, match=r'\["products:read"\]'):
        registry.create(name="A", store="yourstore", scopes="products:read")


# ---- Dates ----


def test_a_date_is_told_in_any_time_zone_and_kept_in_utc(registry: bpos.Registry) -> None:
    toronto = timezone(timedelta(hours=-5))
    kept = registry.update("key_1", expires_at=datetime(2098, 12, 31, 19, 30, 0, 250_999, tzinfo=toronto))
    assert kept.expires_at == datetime(2099, 1, 1, 0, 30, 0, 250_000, tzinfo=UTC)


def test_a_date_without_a_time_zone_is_refused(registry: bpos.Registry) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        registry.update("key_1", expires_at=datetime(2099, 1, 1))
    with pytest.raises(TypeError, match="^expected a datetime or None; found str$"):
        registry.update("key_1", expires_at="2099-01-01")  # type: ignore[arg-type]
    assert registry.get("key_1").expires_at is None


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-09-21T00:00:00.5Z", datetime(2026, 9, 21, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999Z", datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
        ("0000-02-29T00:00:00Z", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_every_date_that_a_document_may_have_is_read(text: str, date: datetime) -> None:
    assert bpos.Registry.from_json(document(record(expires_at=text))).get("key_1").expires_at == date


@pytest.mark.parametrize("wrong", [timedelta(seconds=-1), timedelta(days=-1)])
def test_a_grace_is_not_negative(registry: bpos.Registry, wrong: timedelta) -> None:
    with pytest.raises(ValueError, match="expected 0 to 366 days"):
        registry.rotate("key_1", grace=wrong)


def test_a_grace_has_its_maximum_and_its_type(registry: bpos.Registry) -> None:
    with pytest.raises(bpos.LimitError):
        registry.rotate("key_1", grace=timedelta(days=366, seconds=1))
    with pytest.raises(bpos.LimitError):
        registry.rotate("key_1", grace=timedelta.max)
    with pytest.raises(TypeError, match="^grace must be a timedelta, not int$"):
        registry.rotate("key_1", grace=3600)  # type: ignore[arg-type]
    assert asked(registry, KEY) == "allowed"


# ---- Several changes together ----


def test_an_edit_makes_all_changes_with_one_write_and_answers_in_order(file: Path) -> None:
    registry = bpos.Registry.open(file)
    before = registry.stats().revision
    edit = registry.edit()
    edit.create(name="First", store="yourstore", scopes=["products:read"], rate_limit=5)
    edit.update("key_1", name="Renamed", expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    edit.rotate("key_1", grace=timedelta(hours=1))
    edit.create(name="Second", store="otherstore", scopes=[], test_mode=True)
    edit.disable("key_1")
    edit.enable("key_1")
    assert registry.stats().revision == before and len(registry.list()) == 1  # nothing is made yet

    first, updated, rotated, second, disabled, enabled = edit.commit()
    assert registry.stats().revision == before + 1
    assert isinstance(first, bpos.NewKey) and isinstance(rotated, bpos.NewKey) and isinstance(second, bpos.NewKey)
    assert (first.record.name, first.record.rate_limit) == ("First", 5)
    assert asked(registry, first.key.expose()) == asked(registry, KEY) == asked(registry, rotated.key.expose())
    assert len({first.key.expose(), rotated.key.expose(), second.key.expose()}) == 3
    assert second.key.expose()[:9] == second.record.hint and second.record.test_mode
    assert isinstance(updated, bpos.KeyRecord) and updated.name == "Renamed" and updated.expires_at is not None
    assert disabled is enabled is None

    assert edit.commit() == []  # what was made is not made again
    edit.revoke(first.record.id)
    edit.remove(first.record.id)
    assert edit.commit() == [None, None]
    with pytest.raises(bpos.NotFoundError):
        bpos.Registry.open(file).get(first.record.id)


def test_an_edit_is_all_or_none_and_names_the_change_that_is_refused(registry: bpos.Registry) -> None:
    for none in ("key_none", b"\xff", "\ud800"):
        edit = registry.edit()
        edit.revoke("key_1")
        edit.update(none, name="B")
        with pytest.raises(bpos.NotFoundError, match="^change 2: "):
            edit.commit()
    edit = registry.edit()
    edit.disable("key_1")
    edit.create(name="A", store="yourstore", scopes=["product:read"])
    with pytest.raises(bpos.FormatError, match="product:read"):
        edit.commit()
    assert asked(registry, KEY) == "allowed" and len(registry.list()) == 1


def test_a_mistake_in_a_change_is_told_where_it_is_made(registry: bpos.Registry) -> None:
    edit = registry.edit()
    with pytest.raises(TypeError, match="^id must be str or bytes, not int$"):
        edit.revoke(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'\["products:read"\]'):
        edit.create(name="A", store="yourstore", scopes="products:read")
    with pytest.raises(ValueError, match="no time zone"):
        edit.update("key_1", expires_at=datetime(2099, 1, 1))
    with pytest.raises(ValueError, match="expected 0 to 366 days"):
        edit.rotate("key_1", grace=timedelta(seconds=-1))
    assert edit.commit() == []


def test_an_edit_of_a_closed_registry_says_so(registry: bpos.Registry) -> None:
    edit = registry.edit()
    edit.revoke("key_1")
    registry.close()
    with pytest.raises(bpos.ClosedError):
        edit.commit()


# ---- Secrets ----


def test_a_secret_does_not_show_itself(registry: bpos.Registry) -> None:
    new = registry.create(name="A", store="yourstore", scopes=["products:read"])
    key = new.key.expose()
    for shown in (repr(new), str(new), repr(new.key), str(new.key), f"{new.key}", "%r" % (new.key,)):
        assert key[9:] not in shown and key[:9] in shown
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither copied nor pickled"):
            copied(new.key)


def test_a_secret_is_wiped_on_request_at_the_end_of_with_and_with_its_last_reference() -> None:
    for end in (bpos.Secret.wipe, lambda secret: secret.__exit__(), lambda secret: secret.__del__()):
        memory = bytearray(KEY.encode())
        secret = bpos.Secret(memory)
        end(secret)
        assert memory == bytes(len(KEY))
        with pytest.raises(ValueError, match="wiped"):
            secret.expose()
        secret.wipe()
        assert repr(secret) == "<Secret wiped>"


def test_the_answer_that_the_secret_was_taken_from_holds_it_no_more(registry: bpos.Registry) -> None:
    spec = b'{"name": "A", "store": "yourstore", "scopes": []}'
    received = answer(library.bpos_key_create, registry._handle, spec, len(spec))
    new = new_key_of(received)
    assert new.key.expose().encode() not in received and new.key.expose().encode()[9:] not in received


def test_the_answer_to_an_edit_holds_no_secret_once_it_is_read(registry: bpos.Registry) -> None:
    spec = b'{"create": {"name": "A", "store": "yourstore", "scopes": []}}'
    changes = b"[" + spec + b', {"revoke": "key_1"}, ' + spec + b"]"
    received = answer(library.bpos_registry_edit, registry._handle, changes, len(changes))
    first, nothing, second = edit_answers_of(received)
    assert isinstance(first, bpos.NewKey) and nothing is None and isinstance(second, bpos.NewKey)
    for new in (first, second):
        assert new.key.expose()[:9] == new.record.hint
        assert new.key.expose()[9:].encode() not in received
        assert new.key.expose()[9:] not in repr((first, second))


def test_a_name_that_looks_like_the_answer_does_not_lead_astray(registry: bpos.Registry) -> None:
    name = '"key":"bpos_NoKey"'
    new = registry.create(name=name, store="yourstore", scopes=["products:read"])
    assert new.record.name == name
    assert asked(registry, new.key.expose()) == "allowed"
