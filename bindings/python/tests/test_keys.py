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
from bpos._keys import new_key_of
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


@pytest.mark.parametrize("method", ["update", "revoke", "remove", "get"])
def test_an_id_that_no_key_has_is_not_found(registry: bpos.Registry, method: str) -> None:
    for id in ("key_none", "key_1\0", "", "\ud800", b"\xff"):
        with pytest.raises(bpos.NotFoundError, match="no key with the id"):
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


def test_a_name_that_looks_like_the_answer_does_not_lead_astray(registry: bpos.Registry) -> None:
    name = '"key":"bpos_AnotherKeyThatIsNotSecret"'
    new = registry.create(name=name, store="yourstore", scopes=["products:read"])
    assert new.record.name == name
    assert asked(registry, new.key.expose()) == "allowed"
