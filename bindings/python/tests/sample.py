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
KEY = "bpos_QuickstartExampleNotSecret"


def record(key: str = KEY, **members: Any) -> dict[str, Any]:
    """A record of the registry document, for this key."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    defaults = {"id": "key_1", "name": "A test", "store": "yourstore", "scopes": ["products:read"], "sha256": digest}
    return {**defaults, **members}


def document(*records: dict[str, Any], revision: int = 1) -> str:
    return json.dumps({"version": 1, "revision": revision, "keys": list(records)})


def run_python(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a Python of its own, which checks more and tells of a crash."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", program, *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
