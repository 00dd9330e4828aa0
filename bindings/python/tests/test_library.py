"""Which library is loaded, and what is said of a missing or a wrong one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from sample import LIBRARY, run_python

import bpos

IMPORT = """
try:
    import bpos
except ImportError as error:
    print(type(error).__name__, error.path, error, sep="\\n")
else:
    print("loaded", bpos.version())
    with open("/proc/self/maps") as maps:
        print(*sorted({line.split()[-1] for line in maps if "bpos.so" in line}), sep="\\n")
"""


def loaded(**environment: str) -> list[str]:
    ran = run_python(IMPORT, **environment)
    assert (ran.stderr, ran.returncode) == ("", 0)
    return ran.stdout.splitlines()


def compiled(folder: Path, source: str) -> Path:
    path = folder / "libbpos.so.0"
    command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libbpos.so.0", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=source, text=True, check=True)
    return path


def copied(folder: Path) -> Path:
    """The package without a library, as a checkout has it."""
    ignored = shutil.ignore_patterns("libbpos*", "__pycache__")
    shutil.copytree(Path(bpos.__file__).parent, folder / "bpos", ignore=ignored)
    return folder


def test_the_one_that_the_environment_names_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "elsewhere-bpos.so"
    shutil.copy(LIBRARY, path)
    assert loaded(BPOS_LIBRARY=str(path)) == [f"loaded {bpos.version()}", str(path)]
    monkeypatch.chdir(tmp_path)
    assert loaded(BPOS_LIBRARY=path.name) == [f"loaded {bpos.version()}", str(path)]


def test_the_bundled_one_goes_before_the_systems(tmp_path: Path) -> None:
    package = copied(tmp_path / "package")
    bundled = package / "bpos" / "libbpos.so.0"
    shutil.copy(LIBRARY, bundled)
    system = compiled(tmp_path, "int unused;").parent
    environment = {"BPOS_LIBRARY": "", "PYTHONPATH": str(package), "LD_LIBRARY_PATH": str(system)}
    assert loaded(**environment) == [f"loaded {bpos.version()}", str(bundled)]


def test_the_systems_one_is_the_last_resort(tmp_path: Path) -> None:
    package, system = copied(tmp_path / "package"), tmp_path / "system"
    system.mkdir()
    shutil.copy(LIBRARY, system / "libbpos.so.0")
    environment = {"BPOS_LIBRARY": "", "PYTHONPATH": str(package), "LD_LIBRARY_PATH": str(system)}
    assert loaded(**environment) == [f"loaded {bpos.version()}", str(system / "libbpos.so.0")]


def test_none_at_all_says_what_to_do(tmp_path: Path) -> None:
    kind, path, message = loaded(BPOS_LIBRARY="", PYTHONPATH=str(copied(tmp_path)), LD_LIBRARY_PATH="")
    assert (kind, path) == ("LibraryError", "libbpos.so.0")
    assert message.startswith("cannot load libbpos.so.0 (the system's, since the package bundles none): ")
    assert message.endswith("; set BPOS_LIBRARY to a libbpos.so.0 of this version, or install the package again")


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "cut"])
def test_what_is_no_library_is_refused_and_no_other_is_tried(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "libbpos.so.0"
    if kind == "folder":
        path.mkdir()
    elif kind == "cut":
        path.write_bytes(LIBRARY.read_bytes()[:40])
    elif kind != "missing":
        path.write_text("no library" if kind == "text" else "")
    name, named, message = loaded(BPOS_LIBRARY=str(path))
    assert (name, named) == ("LibraryError", str(path))
    assert message.startswith(f"cannot load {path} (named by BPOS_LIBRARY): ")


def test_the_library_of_something_else_is_refused(tmp_path: Path) -> None:
    path = compiled(tmp_path, "int something_else;")
    name, named, message = loaded(BPOS_LIBRARY=str(path))
    assert (name, named) == ("LibraryError", str(path))
    assert message.startswith(f"{path} (named by BPOS_LIBRARY) is not bpos's library: it has no bpos_abi_version; ")


def test_another_abi_version_is_refused_and_both_are_named(tmp_path: Path) -> None:
    path = compiled(tmp_path, "unsigned bpos_abi_version(void) { return 7; }")
    name, _, message = loaded(BPOS_LIBRARY=str(path))
    assert name == "LibraryError"
    assert "its ABI version is 7, this package needs 0" in message and str(path) in message


def test_a_library_that_lacks_a_function_is_refused(tmp_path: Path) -> None:
    path = compiled(tmp_path, "unsigned bpos_abi_version(void) { return 0; }")
    name, _, message = loaded(BPOS_LIBRARY=str(path))
    assert name == "LibraryError"
    assert f"{path} (named by BPOS_LIBRARY) is too old: it has no bpos_authorize; " in message
