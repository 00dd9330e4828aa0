#!/usr/bin/env python3
"""Holds the table "The life of a key" of docs/keys.md against the sources of each language: `python3 names.py FOLDER`.

It names functions of Rust and of C, and the sentence above it says that Go, C++ and Python have those of Rust.
"""

import re
import sys
from pathlib import Path

RUST, C = 1, 2  # columns
# What defines a function NAME of a registry: where, and how.
DEFINITIONS = {
    "Rust": ("src/**/*.rs", r"^    pub fn {}\b"),
    "Go": ("bindings/go/*.go", r"^func (?:\(r \*Registry\) )?{}\("),
    "C++": ("include/bpos.hpp", r"^    (?:\[\[nodiscard\]\] )?(?:static )?(?:registry|secret_text|text|void) {}\("),
    "Python": ("bindings/python/src/bpos/_registry.py", r"^    def {}\("),
}


def main():
    root = Path(sys.argv[1])
    names, missing = 0, []
    for cells in rows((root / "docs/keys.md").read_text(encoding="utf-8")):
        for name in re.findall(r"`(\w+)`", cells[RUST]):
            for language, (pattern, definition) in DEFINITIONS.items():
                names += 1
                spelled = name.capitalize() if language == "Go" else name
                if not defined(root, pattern, definition.format(spelled)):
                    missing.append(f"{language} has no {spelled}")
        for name in re.findall(r"`(\w+)`", cells[C]):
            names += 1
            if not defined(root, "tests/c/symbols.txt", rf"^{name}$"):
                missing.append(f"C has no {name}")
    if missing or not names:
        sys.exit("\n".join(missing) or 'docs/keys.md has no table "The life of a key"')
    print(f"{names} names")


def rows(page):
    """The cells of each row of the table, without its head."""
    _, _, section = page.partition("\n## The life of a key\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def defined(root, pattern, definition):
    files = sorted(root.glob(pattern))
    return any(re.search(definition, file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)


if __name__ == "__main__":
    main()
