"""Opening, deciding and closing: what is asked for, what is refused, and how."""

from __future__ import annotations

import copy
import json
import os
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Union

import pytest
from sample import KEY, document, record

import bpos

PRODUCTS = "GET", "/api/v1/products"


def reason(registry: bpos.Registry, **facts: Any) -> str:
    facts = {"method": "GET", "target": "/api/v1/products", "api_key": KEY, "store": "yourstore", **facts}
    return str(registry.authorize(**facts).reason)


# ---- Deciding ----


@pytest.mark.parametrize("of", [str, str.encode])
def test_texts_are_str_or_bytes(registry: bpos.Registry, of: Callable[[str], Any]) -> None:
    assert (
        reason(registry, method=of("GET"), target=of("/api/v1/products"), api_key=of(KEY), store=of("yourstore"))
        == "allowed"
    )


def test_a_store_that_was_not_found_admits_nobody(registry: bpos.Registry) -> None:
    for store in (None, "", b"", "otherstore", "yourstore\0", "YOURSTORE"):
        assert reason(registry, store=store) == "wrong_store", store
        assert str(registry.authorize_scope("products:read", api_key=KEY, store=store).reason) == "wrong_store"
    assert reason(registry, store=bpos.ANY_STORE) == "allowed"
    assert registry.authorize_scope("products:read", api_key=KEY, store=bpos.ANY_STORE)


def test_the_store_must_be_said(registry: bpos.Registry) -> None:
    with pytest.raises(TypeError, match="store"):
        registry.authorize(*PRODUCTS, api_key=KEY)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "key",
    [
        KEY + "\0",
        "\0" + KEY,
        KEY[:9] + "\0" + KEY[9:],
        KEY.encode() + b"\0",
        KEY + " ",
        KEY + "\udc80",
        "\ud800",
        "é",
        b"\xff",
        ",",
    ],
)
def test_a_malformed_key_is_one_whatever_it_holds(registry: bpos.Registry, key: Any) -> None:
    assert reason(registry, api_key=key) == "malformed_key"


def test_no_key_and_an_empty_one_are_missing(registry: bpos.Registry) -> None:
    for key in (None, "", b""):
        assert reason(registry, api_key=key) == "missing_key"


@pytest.mark.parametrize("text", ["\ud800", "\udcff", "/api/v1/products\udc80", "/api/v1/products\0", "é", b"\xff", ""])
def test_what_is_not_utf_8_matches_nothing_and_raises_nothing(registry: bpos.Registry, text: Any) -> None:
    assert reason(registry, target=text) == "unmapped_route"
    assert reason(registry, method=text) == "unmapped_route"
    assert reason(registry, store=text) == "wrong_store"


@pytest.mark.parametrize("wrong", [1, 140_000_000_000_000, 1.5, [], object(), bytearray(b"GET"), memoryview(b"GET")])
def test_other_types_are_type_errors_that_name_the_argument(registry: bpos.Registry, wrong: Any) -> None:
    for name in ("method", "target", "api_key", "store"):
        with pytest.raises(TypeError, match=f"^{name} must be str or bytes, not {type(wrong).__name__}$"):
            reason(registry, **{name: wrong})
    with pytest.raises(TypeError, match="^scope must be str"):
        registry.authorize_scope(wrong, api_key=KEY, store="yourstore")
    for name in ("method", "target"):
        with pytest.raises(TypeError, match=f"^{name} must be str or bytes, not NoneType$"):
            reason(registry, **{name: None})


def test_a_bytes_that_lies_about_its_length_is_measured(registry: bpos.Registry) -> None:
    class Long(bytes):
        def __len__(self) -> int:
            return 1 << 40

    assert reason(registry, api_key=Long(KEY.encode())) == "allowed"


@pytest.mark.parametrize("scope", ["products", "products:read ", "", "\ud800", "orders:read", "products:read\0"])
def test_a_scope_that_the_policy_does_not_have_is_the_programs_mistake(registry: bpos.Registry, scope: str) -> None:
    for key in (KEY, None):
        with pytest.raises(ValueError, match="^the policy has no scope '") as caught:
            registry.authorize_scope(scope, api_key=key, store="yourstore")
        assert ascii(scope) in str(caught.value) and "products:read, customers:read, sales:read" in str(caught.value)
    assert registry.stats().allowed == 0


def test_a_key_in_the_place_of_a_scope_is_not_told(registry: bpos.Registry) -> None:
    with pytest.raises(ValueError) as caught:
        registry.authorize_scope(KEY, api_key=KEY, store="yourstore")
    assert KEY[9:] not in str(caught.value)
    with pytest.raises(ValueError) as caught:
        registry.authorize_scope("x" * 1_000_000, api_key=KEY, store="yourstore")
    assert len(str(caught.value)) < 1_000


def test_time_is_an_argument() -> None:
    registry = bpos.Registry.from_json(document(record(rate_limit=1, expires_at="2030-01-01T00:00:00Z")))
    expiry = 1_893_456_000_000

    def at(unix_ms: int, second: float) -> bpos.Decision:
        now = bpos.Now(unix_ms, int(second * 1_000_000))
        return registry.authorize(*PRODUCTS, api_key=KEY, store="yourstore", at=now)

    assert at(0, 5).reset_s == 61
    assert at(0, 65).retry_after_s == 1
    assert at(0, 66).status == 200
    assert str(at(expiry - 1, 66).reason) == "rate_limited"
    assert str(at(expiry, 66).reason) == "expired_key"
    assert at(-(2**63), 127).status == 200
    assert str(at(0, 2**48 / 1_000_000).reason) == "internal"


@pytest.mark.parametrize("clocks", [(2**63, 0), (-(2**63) - 1, 0), (0, -1), (0, 2**63), (2**64, 0)])
def test_a_time_that_would_be_cut_off_is_refused(clocks: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        bpos.Now(*clocks)


def test_a_policy_is_an_object_or_its_text() -> None:
    policy = {
        "scopes": [{"name": "orders:read"}],
        "routes": [{"method": "GET", "path": "/orders", "scope": "orders:read"}],
    }
    text = json.dumps(policy)
    for given in (policy, text, text.encode()):
        registry = bpos.Registry.from_json(document(record(scopes=["orders:read"])), policy=given)
        decision = registry.authorize("GET", "/orders", api_key=KEY, store="yourstore")
        assert (decision.status, decision.required_scope) == (200, "orders:read")
        assert registry.authorize_scope("orders:read", api_key=KEY, store="yourstore")
        with pytest.raises(ValueError, match="^the policy has no scope 'products:read'; it has orders:read$"):
            registry.authorize_scope("products:read", api_key=KEY, store="yourstore")


def test_a_policy_is_read_from_the_file_that_a_path_names(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('\n {"scopes": [{"name": "orders:read"}], "routes": []}')
    registry = bpos.Registry.from_json(document(record(scopes=["orders:read"])), policy=path)
    assert registry.authorize_scope("orders:read", api_key=KEY, store="yourstore")

    path.write_text('{"scopes": []')
    with pytest.raises(bpos.FormatError, match="^the options: "):
        bpos.Registry.from_json(document(), policy=path)
    with pytest.raises(bpos.FileError, match=r"^cannot read the policy .*missing\.json.: No such file"):
        bpos.Registry.from_json(document(), policy=tmp_path / "missing.json")
    with pytest.raises(bpos.FileError, match=r"^cannot read the policy .*: Is a directory"):
        bpos.Registry.from_json(document(), policy=tmp_path)


@pytest.mark.parametrize(
    "text", ["policy.json", "/etc/bpos/policy.json", "", " ", "[]", "null", "\ufeff{}", "\u00a0{}"]
)
def test_a_policy_that_is_a_path_in_a_str_says_what_to_write(text: str) -> None:
    expected = r"expected the text of a policy document, an object, or Path\(…\) for a file$"
    for given in (text, text.encode()):
        with pytest.raises(bpos.FormatError, match=expected) as caught:
            bpos.Registry.from_json(document(), policy=given)
        assert ascii(text) in str(caught.value) or not text.isascii()


def test_a_key_in_the_place_of_a_policy_is_not_told() -> None:
    for start in ("", "policy of "):
        with pytest.raises(bpos.FormatError) as caught:
            bpos.Registry.from_json(document(), policy=start + KEY)
        assert KEY[9:] not in str(caught.value)


@pytest.mark.parametrize(
    "policy", ["{", "{}", '{"scopes": [], "routes": []}, "read_only": false', {"scopes": []}, b"{\xff"]
)
def test_a_policy_that_is_not_sound_is_refused(policy: Any) -> None:
    with pytest.raises(bpos.FormatError, match="^the options: "):
        bpos.Registry.from_json(document(), policy=policy)


# ---- Opening ----


def test_a_file_is_opened_by_any_kind_of_path(file: Path) -> None:
    for path in (file, str(file), os.fsencode(file)):
        with bpos.Registry.open(path) as registry:
            assert reason(registry) == "allowed"


def test_a_new_file_is_made_and_opened_by_init(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    policy = {"scopes": [{"name": "orders:read"}], "routes": []}
    with bpos.Registry.init(path, policy=policy) as registry:
        new = registry.create(name="A", store="yourstore", scopes=["orders:read"])
        assert registry.authorize_scope("orders:read", api_key=new.key.expose(), store="yourstore")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [key.name for key in bpos.Registry.open(path, policy=policy).list()] == ["A"]
    with pytest.raises(bpos.ConflictError, match=r"keys\.json"):
        bpos.Registry.init(path)
    assert len(bpos.Registry.open(path, policy=policy).list()) == 1


def test_a_path_that_is_not_utf_8_is_a_path(file: Path) -> None:
    path = os.fsencode(file.parent) + b"/\xff.json"
    os.rename(file, path)
    assert reason(bpos.Registry.open(path)) == "allowed"
    assert reason(bpos.Registry.open(os.fsdecode(path))) == "allowed"


def test_a_path_with_a_nul_is_refused_and_not_cut(file: Path) -> None:
    with pytest.raises(bpos.FileError, match="NUL"):
        bpos.Registry.open(f"{file}\0.json")


def test_what_cannot_be_opened_says_why(file: Path) -> None:
    with pytest.raises(bpos.FileError, match="missing.json.*No such file"):
        bpos.Registry.open(file.with_name("missing.json"))
    with pytest.raises(bpos.FileError, match="not a regular file"):
        bpos.Registry.open(file.parent)
    file.chmod(0o622)
    with pytest.raises(bpos.FilePermissionError, match=r"keys\.json"):
        bpos.Registry.open(file)
    file.chmod(0o600)
    file.write_text('{"version": 2, "keys": []}')
    with pytest.raises(bpos.FormatError, match="expected version 1; found 2"):
        bpos.Registry.open(file)
    with pytest.raises(TypeError):
        bpos.Registry.open(7)  # type: ignore[arg-type]


def test_an_error_has_the_status_and_the_message_of_the_library() -> None:
    with pytest.raises(bpos.Error) as caught:
        bpos.Registry.from_json('{"version": 1, "keys": [')
    error = caught.value
    assert (type(error), error.status, error.status.name) == (bpos.FormatError, 3, "FORMAT")  # type: ignore[attr-defined]
    assert error.message == str(error) and "line 1" in error.message
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.status, again.message) == (type(error), error.status, error.message)


def test_an_error_has_the_place_in_the_document(file: Path) -> None:
    sha256 = "0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53"
    document = f"""{{"version": 1, "keys": [
  {{"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": [],
   "rate_limit": 7000, "sha256": "{sha256}"}}]}}"""
    with pytest.raises(bpos.FormatError) as caught:
        bpos.Registry.from_json(document)
    for error in caught.value, pickle.loads(pickle.dumps(caught.value)):
        assert (error.line, error.column, error.in_file) == (3, 21, False)
    with pytest.raises(bpos.FileError) as missing:
        bpos.Registry.open(file.with_name("missing.json"))
    assert (missing.value.line, missing.value.column, missing.value.in_file) == (None, None, False)


def test_a_registry_is_made_by_its_constructors_alone() -> None:
    with pytest.raises(TypeError, match=r"Registry\.open"):
        bpos.Registry()


def test_a_registry_is_neither_copied_nor_pickled(registry: bpos.Registry) -> None:
    # A copy would go on after `close()`.
    for again in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="a Registry is neither copied nor pickled"):
            again(registry)


# ---- The document ----


def test_a_reload_is_all_or_nothing(file: Path) -> None:
    registry = bpos.Registry.open(file)
    assert registry.reload_if_changed() is False
    file.write_text(document(record(enabled=False), revision=2))
    assert registry.reload_if_changed() is True
    assert reason(registry) == "disabled_key"

    file.write_text("{")
    with pytest.raises(bpos.FormatError):
        registry.reload()
    with pytest.raises(bpos.FormatError):
        registry.reload_if_changed()
    file.write_text(document(record(), revision=1))
    with pytest.raises(bpos.StaleError):
        registry.reload()
    assert reason(registry) == "disabled_key"

    file.write_text(document(record(), revision=3))
    registry.reload()
    assert reason(registry) == "allowed"
    assert registry.stats().revision == 3


def test_a_memory_registry_is_fed_with_objects_or_text(registry: bpos.Registry) -> None:
    registry.apply([record("bpos_AnotherKeyThatIsNotSecret", id="key_2")])
    registry.apply(json.dumps([record(enabled=False)]))
    assert [(key.id, key.enabled) for key in registry.list()] == [("key_1", False), ("key_2", True)]
    assert json.loads(registry.export())["keys"][1]["id"] == "key_2"
    with pytest.raises(bpos.ConflictError, match="key_3"):
        registry.apply([record(id="key_3")])
    with pytest.raises(bpos.InvalidArgumentError):
        registry.reload()


def test_a_registry_that_is_read_only_is_not_changed(file: Path) -> None:
    registry = bpos.Registry.open(file, read_only=True)
    with pytest.raises(bpos.ReadOnlyError):
        registry.revoke("key_1")
    assert reason(registry) == "allowed"


def test_statistics_count_by_reason(registry: bpos.Registry) -> None:
    registry.authorize(*PRODUCTS, api_key=KEY, store="yourstore")
    registry.authorize(*PRODUCTS, api_key=None, store="yourstore")
    registry.authorize(*PRODUCTS, api_key=KEY, store=None)
    stats = registry.stats()
    assert (stats.keys, stats.revision, stats.allowed) == (1, 1, 1)
    counted = {reason: count for reason, count in stats.denied.items() if count}
    assert counted == {bpos.Reason.MISSING_KEY: 1, bpos.Reason.WRONG_STORE: 1}


# ---- Closing ----

USES: dict[str, Callable[[bpos.Registry], object]] = {
    "authorize": lambda it: it.authorize(*PRODUCTS, api_key=KEY, store="yourstore"),
    "authorize_scope": lambda it: it.authorize_scope("products:read", api_key=KEY, store="yourstore"),
    "create": lambda it: it.create(name="A", store="s", scopes=[]),
    "update": lambda it: it.update("key_1", name="B"),
    "rotate": lambda it: it.rotate("key_1", grace=timedelta(0)),
    "enable": lambda it: it.enable("key_1"),
    "disable": lambda it: it.disable("key_1"),
    "revoke": lambda it: it.revoke("key_1"),
    "remove": lambda it: it.remove("key_1"),
    "get": lambda it: it.get("key_1"),
    "list": lambda it: it.list(),
    "reload": lambda it: it.reload(),
    "reload_if_changed": lambda it: it.reload_if_changed(),
    "edit": lambda it: it.edit(),
    "apply": lambda it: it.apply([]),
    "export": lambda it: it.export(),
    "stats": lambda it: it.stats(),
}


def test_every_method_is_tried_after_close() -> None:
    public = {name for name in vars(bpos.Registry) if not name.startswith("_")}
    assert set(USES) == public - {"open", "init", "from_json", "close"}


@pytest.mark.parametrize("name", USES)
def test_after_close_every_method_says_so(registry: bpos.Registry, name: str) -> None:
    registry.close()
    registry.close()
    with pytest.raises(bpos.ClosedError, match="^the registry is closed") as caught:
        USES[name](registry)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, bpos.Error)


def test_with_closes_at_its_end(file: Path) -> None:
    with bpos.Registry.open(file) as registry:
        assert reason(registry) == "allowed"
    with pytest.raises(bpos.ClosedError):
        registry.stats()


def test_an_error_of_a_closed_registry_is_pickled(registry: bpos.Registry) -> None:
    registry.close()
    with pytest.raises(bpos.ClosedError) as caught:
        registry.stats()
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), bpos.ClosedError)


# ---- Sharing ----


def asked(registry: bpos.Registry, times: int) -> int:
    """How many of so many requests are admitted, by the machine's clock."""
    return sum(
        registry.authorize("GET", "/api/v1/products", api_key=KEY, store="yourstore").allowed for _ in range(times)
    )


@pytest.mark.parametrize("elsewhere", [False, True])
def test_registries_of_one_file_count_together_and_know_each_others_changes(
    file: Path, tmp_path: Path, elsewhere: bool
) -> None:
    shared: Union[bool, Path] = True
    if elsewhere:
        shared = tmp_path / "memory"
        shared.mkdir()
    first = bpos.Registry.open(file, shared=shared)
    second = bpos.Registry.open(file, read_only=True, shared=shared)
    assert asked(first, 40) + asked(second, 40) == 60
    first.revoke("key_1")
    assert asked(second, 1) == 0 and second.get("key_1").revoked_at is not None
    new = first.create(name="New", store="yourstore", scopes=["products:read"]).key.expose()
    assert second.authorize("GET", "/api/v1/products", api_key=new, store="yourstore")
    assert not elsewhere or [path.name[:5] for path in tmp_path.joinpath("memory").iterdir()] == ["bpos-"]


def test_a_registry_that_shares_nothing_counts_alone_and_hears_of_changes_when_it_reloads(file: Path) -> None:
    first, alone = bpos.Registry.open(file), bpos.Registry.open(file, shared=False)
    assert (asked(first, 61), asked(alone, 61)) == (60, 60)
    first.create(name="New", store="yourstore", scopes=["products:read"])
    assert len(alone.list()) == 1
    assert alone.reload_if_changed() and len(alone.list()) == 2


def test_init_shares_or_not(tmp_path: Path) -> None:
    for path, shared in ((tmp_path / "shared.json", True), (tmp_path / "alone.json", False)):
        first = bpos.Registry.init(path, shared=shared)
        with bpos.Registry.open(path) as others:
            others.create(name="New", store="yourstore", scopes=["products:read"])
        assert len(first.list()) == shared


def test_who_cannot_share_is_told_how_not_to(file: Path, tmp_path: Path) -> None:
    with pytest.raises(bpos.FileError, match='or say "shared": false'):
        bpos.Registry.open(file, shared=tmp_path / "none")
    assert asked(bpos.Registry.open(file, shared=False), 1) == 1


def test_what_is_no_folder_is_no_place_to_share(file: Path) -> None:
    wrong: Any
    for wrong in (None, 1, {}):
        with pytest.raises(TypeError):
            bpos.Registry.open(file, shared=wrong)
