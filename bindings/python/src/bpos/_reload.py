"""How the middleware keeps up with a registry's file.

Where processes share a registry, what bpos changes is in force without it. What an editor or a deployment writes, and all
changes where nothing is shared, are not.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Optional

from ._errors import ClosedError, ConflictError, Error, FilePermissionError, FormatError, StaleError
from ._registry import Registry
from ._version import Version, version_of

__all__ = ["Reloader"]

#: What another look at the same version of a file finds again. Anything else may pass by itself.
_LASTING = (ConflictError, FilePermissionError, FormatError, StaleError)


class Reloader:
    """Looks at a registry's file, which is one call to the operating system, and reads it again if it has changed. To
    be asked before each request: a thread that looks now and then does not survive a fork, and every worker of a server
    has to know of a revocation by itself.

    What cannot be read is logged, and the keys in force stay.

    `Registry.reload_if_changed` would not do: while another thread reads the file it does not wait, and a request that
    begins after a revocation would be decided on without it. Nor has this a lock of its own, which a fork could leave
    locked for ever: threads that find the same change read it one after another.
    """

    def __init__(self, registry: Registry, log: logging.Logger, wanted: bool) -> None:
        self._registry = registry
        self._log = log
        self._path = registry._path if wanted else None
        self._seen = registry._opened_version
        self._said = ""

    def reload_if_changed(self) -> None:
        """Reads the file again if it has changed. Never raises for what is wrong with it."""
        if self._path is not None:
            version = version_of(self._path)
            if version is None or version != self._seen:
                self._reload(version)

    async def reload_if_changed_async(self) -> None:
        """The same in an event loop, which goes on while a file is read: a large one takes its time."""
        if self._path is None:
            return
        version = version_of(self._path)
        if version is not None and version == self._seen:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.reload_if_changed)
        except RuntimeError:  # another kind of loop, or one that is ending
            self.reload_if_changed()

    def _reload(self, version: Optional[Version]) -> None:
        # The version is from before the file is read: if it changes in between, it is read once more.
        try:
            self._registry.reload()
        except ClosedError:
            return  # which the decision tells
        except Error as error:
            if isinstance(error, _LASTING):
                self._seen = version
            if error.message != self._said:  # and not with each request
                self._log.error("not reloaded, the keys in force stay: %s", error)
            self._said = error.message
        else:
            self._seen, self._said = version, ""
