#!/usr/bin/env python3
"""Finds the tests that docs/threats.md names and no source defines: `python3 threats.py FOLDER`.

A test's name is code in the column "tests" that looks like a function's: `a_test_of_rust`, `TestOfGo`. It is defined by
a line of a .rs, .py, .go, .c or .cpp file that has it as a function. Tests that are named by a sentence are not looked for.
"""

import re
import sys
from pathlib import Path

COLUMNS = ["threat", "defence", "tests", "gap"]
TESTS = COLUMNS.index("tests")
NAME = re.compile(r"`([a-z]+(?:_[a-z0-9]+){2,}|check_[a-z_]+|Test[A-Z]\w+)`")
FUNCTION = re.compile(r"\b(?:fn|def|func|void|int|static)\s+\*?(\w+)\s*[(<]")
SOURCES = {".rs", ".py", ".go", ".c", ".cpp"}
FOLDERS = ("src", "tests", "cli", "bindings")
NOT_THE_PROJECT = {"target", "node_modules"}


def main():
    root = Path(sys.argv[1])
    named = names((root / "docs/threats.md").read_text(encoding="utf-8"))
    defined = functions(root)
    missing = sorted(name for name in named if name not in defined)
    if missing or not named:
        sys.exit("\n".join(f"there is no test {name}" for name in missing) or "docs/threats.md names no tests")
    print(f"{len(named)} names")


def names(page):
    """The names in the column of tests, of the rows of the one table."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    if not rows or rows[0] != COLUMNS:
        sys.exit(f"docs/threats.md has no table with the columns {', '.join(COLUMNS)}")
    wrong = [row[0] for row in rows if len(row) != len(COLUMNS)]
    if wrong:
        sys.exit(f"docs/threats.md: not {len(COLUMNS)} columns: {wrong[0]}")
    return {name for row in rows for name in NAME.findall(row[TESTS])}


def functions(root):
    found = set()
    for folder in FOLDERS:
        for file in (root / folder).rglob("*"):
            parts = file.relative_to(root).parts
            if file.suffix in SOURCES and file.is_file() and not NOT_THE_PROJECT.intersection(parts):
                found.update(FUNCTION.findall(file.read_text(encoding="utf-8")))
    return found


if __name__ == "__main__":
    main()
