"""What the tests share: one known key, documents that hold it, and a Python of its own for what may crash."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bpos

CHECKOUT = Path(__file__).resolve().parents[3]
#: The library that is tested: the one in the installed package.
LIBRARY = Path(os.environ.get("BPOS_LIBRARY") or Path(bpos.__file__).with_name("libbpos.so.0"))
#: The command, which is another process.
COMMAND = os.environ.get("BPOS_COMMAND") or str(CHECKOUT / "target" / "release" / "bpos")
KEY = "bpos_QuickstartExampleNotSecret"
EXPORT_KEY = "bpos_ExportExampleThatIsNotSecret"
#: A policy in which one prefix more or less makes one route of another: /items/export is an item.
ITEMS = {
    "scopes": [{"name": "items:read"}, {"name": "items:export"}],
    "routes": [
        {"method": "GET", "path": "/items/{id}", "scope": "items:read"},
        {"method": "GET", "path": "/export", "scope": "items:export"},
    ],
}
#: Targets that mean one thing or another, depending on who takes what for a prefix.
HOSTILE = [
    prefix + path
    for prefix in ("", "/items", "/items/items", "/items/", "/%69tems", "/item", "/shop", "/shop/items")
    for path in ("", "/", "/export", "//export", "/items/export", "/%65xport", "/items%2Fexport")
]


def record(key: str = KEY, **members: Any) -> dict[str, Any]:
    """A record of the registry document, for this key."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    defaults = {"id": "key_1", "name": "A test", "store": "yourstore", "scopes": ["products:read"], "sha256": digest}
    return {**defaults, **members}


def document(*records: dict[str, Any], revision: int = 1) -> str:
    return json.dumps({"version": 1, "revision": revision, "keys": list(records)})


def items() -> bpos.Registry:
    """A registry with one key for each scope of `ITEMS`."""
    reads = record(scopes=["items:read"], rate_limit=1000)
    exports = record(EXPORT_KEY, id="key_2", scopes=["items:export"], rate_limit=1000)
    return bpos.Registry.from_json(document(reads, exports), policy=ITEMS)


def run_python(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python of its own, which checks more and tells of a crash."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
