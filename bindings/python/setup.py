"""Puts the C library into the package, and makes a wheel for this platform of it.

The library is the file that BPOS_LIBRARY names or, without it, the one that `make lib` builds from the checkout that
this folder is in. Everything else is in pyproject.toml.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent.parent
SONAME = "libbpos.so.0"


class PlatformDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True  # the C library, which setuptools does not know to be one


class BuildWithLibrary(build_py):
    def run(self) -> None:
        super().run()
        folder = HERE / "src" if self.editable_mode else Path(self.build_lib)
        shutil.copyfile(library(), folder / "bpos" / SONAME)


class PlatformWheel(bdist_wheel):
    def get_tag(self) -> "tuple[str, str, str]":
        return ("py3", "none", super().get_tag()[2])  # any Python 3, since ctypes loads the library


def library() -> Path:
    named = os.environ.get("BPOS_LIBRARY")
    if named:
        if not Path(named).is_file():
            raise SystemExit(f"bpos: BPOS_LIBRARY names {named}, which is no file: expected a {SONAME}")
        return Path(named)

    advice = f"or set BPOS_LIBRARY to a {SONAME} that is built already"
    if not (CHECKOUT / "Cargo.toml").is_file():
        raise SystemExit(f"bpos: {HERE} is not in a checkout of bpos to build {SONAME} from: build it there, {advice}")
    for tool, package in (("make", "make"), ("cargo", "Rust 1.95 or later, https://rustup.rs")):
        if shutil.which(tool) is None:
            raise SystemExit(f"bpos: {tool} is missing, which builds {SONAME}: install {package}, {advice}")
    built = subprocess.run(["make", "-C", CHECKOUT, "lib"], check=False)
    if built.returncode != 0:
        raise SystemExit(f"bpos: `make lib` failed in {CHECKOUT}: mend what it says, {advice}")
    return CHECKOUT / os.environ.get("CARGO_TARGET_DIR", "target") / "lib" / SONAME


# What is built goes elsewhere: nothing is left in the checkout, and nothing from a build before gets into this one.
with tempfile.TemporaryDirectory() as scratch:
    setup(
        distclass=PlatformDistribution,
        cmdclass={"build_py": BuildWithLibrary, "bdist_wheel": PlatformWheel},
        options={"build": {"build_base": scratch}, "egg_info": {"egg_base": scratch}},
    )
