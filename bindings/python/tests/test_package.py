"""The package beside what it binds: the header, the crate, and the wheel that it comes in."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from pathlib import Path

from sample import CHECKOUT

import bpos
from bpos import _library
from bpos._library import library
from bpos._registry import BUILT_IN_SCOPES

HEADER = (CHECKOUT / "include" / "bpos.h").read_text()


def numbers(prefix: str) -> dict[str, int]:
    """The constants of the header whose names begin so."""
    return {name: int(number) for name, number in re.findall(rf"^ +{prefix}(\w+) = (\d+),$", HEADER, re.MULTILINE)}


def test_the_version_is_the_crates() -> None:
    crate = re.search(
        r'^\[workspace\.package\]\nversion = "(.*)"$', (CHECKOUT / "Cargo.toml").read_text(), re.MULTILINE
    )
    assert crate is not None
    assert importlib.metadata.version("bpos") == bpos.version() == crate[1]


def test_it_needs_nothing_else() -> None:
    assert not importlib.metadata.requires("bpos")


def test_the_library_and_the_types_are_in_the_wheel() -> None:
    installed = {file.name: file for file in importlib.metadata.files("bpos") or []}
    assert Path(installed["libbpos.so.0"].locate()) == Path(bpos.__file__).with_name("libbpos.so.0")
    assert "py.typed" in installed
    assert "Tag: py3-none-linux" in (importlib.metadata.distribution("bpos").read_text("WHEEL") or "")


def test_the_numbers_are_the_headers() -> None:
    assert {status.name: status.value for status in bpos.Status} == numbers("BPOS_ERR_")
    assert {reason.name: reason.value for reason in bpos.Reason} == numbers("BPOS_REASON_")
    scopes = {name.replace(":", "_").upper(): number for number, name in enumerate(BUILT_IN_SCOPES, start=1)}
    assert scopes == numbers("BPOS_SCOPE_")
    assert f"#define BPOS_ABI_VERSION {bpos.ABI_VERSION}\n" in HEADER


def test_every_function_of_the_header_is_declared_with_as_many_parameters() -> None:
    text = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
    declared = {
        name: 0 if parameters.strip() == "void" else parameters.count(",") + 1
        for name, parameters in re.findall(r"\b(bpos_\w+)\(([^)]*)\);", text)
    }
    bound = {name: len(getattr(library, name).argtypes) for name in vars(library)}
    # The version of the ABI is asked before anything is declared; names are Python's own; a list is a page without end.
    unused = {"bpos_abi_version", "bpos_status_name", "bpos_reason_name", "bpos_key_list"}
    assert bound == {name: count for name, count in declared.items() if name not in unused}


def test_the_structs_are_the_headers() -> None:
    assert ctypes.sizeof(_library.RawDecision) == 8 * 4 + 8 + 32 + 64 + 64
    for struct, name in ((_library.RawDecision, "decision"), (_library.RawError, "error"), (_library.Buffer, "buffer")):
        body = re.search(rf"typedef struct bpos_{name} \{{(.*?)\n\}}", HEADER, re.DOTALL)
        assert body is not None
        fields = re.findall(r"^ +\w+ \*?(\w+)(?:\[\d+\])?;$", body[1], re.MULTILINE)
        assert [field[0] for field in struct._fields_] == fields


def test_every_public_name_is_there_and_documented() -> None:
    for name in bpos.__all__:
        assert getattr(bpos, name) is not None
    for owner in (bpos.Registry, bpos.Edit, bpos.Decision):
        for name, value in vars(owner).items():
            assert name.startswith("_") or value.__doc__, name


def test_the_methods_have_the_names_that_they_have_in_rust() -> None:
    page = (CHECKOUT / "docs/keys.md").read_text()
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \|", page[page.index("## The life of a key") :], re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    changes = {"create", "update", "enable", "disable", "rotate", "revoke", "remove"}
    assert changes | {"edit", "get", "list"} <= names <= vars(bpos.Registry).keys()
    assert {name for name in vars(bpos.Edit) if not name.startswith("_")} == changes | {"commit"}
