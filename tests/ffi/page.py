#!/usr/bin/env python3
"""Writes the files that a page of the documentation shows into a folder: `python3 page.py PAGE FOLDER`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "docs"))
import literate

page, folder = Path(sys.argv[1]), Path(sys.argv[2])
for block in literate.parse(page.read_text(encoding="utf-8")):
    if block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
