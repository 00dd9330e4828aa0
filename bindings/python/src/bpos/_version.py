"""What tells one version of a file from another without reading it."""

from __future__ import annotations

import os
import time
from typing import Optional, Tuple, Union

__all__ = ["AnyPath", "Version", "version_of"]

AnyPath = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Version = Tuple[int, ...]

#: The times of files tick at least as often, also where the kernel's timer runs at 100 Hz.
_TICK_NS = 20_000_000


def version_of(path: AnyPath) -> Optional[Version]:
    """The version of the file at a path. None if it cannot be looked at, or was changed so lately that another change to
    it could bear the same times: then it is no version to go by later."""
    try:
        file = os.stat(path)
    except (OSError, ValueError):  # ValueError for a NUL in the path
        return None
    if abs(time.time_ns() - file.st_ctime_ns) <= _TICK_NS:
        return None
    return file.st_dev, file.st_ino, file.st_size, file.st_mtime_ns, file.st_ctime_ns
