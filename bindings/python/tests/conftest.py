"""Registries that hold the one known key."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample import document, record

import bpos


@pytest.fixture
def registry() -> bpos.Registry:
    return bpos.Registry.from_json(document(record()))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A registry file that holds the key."""
    path = tmp_path / "keys.json"
    path.write_text(document(record()))
    path.chmod(0o600)
    return path
