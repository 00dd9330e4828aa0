"""What the calls raise. `authorize` raises only `ClosedError`: its answer to every request is a decision."""

from __future__ import annotations

import enum

__all__ = [
    "ClosedError",
    "ConflictError",
    "Error",
    "FileError",
    "FilePermissionError",
    "FormatError",
    "InvalidArgumentError",
    "LibraryError",
    "LimitError",
    "NotDurableError",
    "NotFoundError",
    "PanicError",
    "ReadOnlyError",
    "StaleError",
    "Status",
    "error_of",
]


class Status(enum.IntEnum):
    """The library's status codes. They never change."""

    INVALID_ARGUMENT = 1
    IO = 2
    FORMAT = 3
    NOT_FOUND = 4
    CONFLICT = 5
    PERMISSION = 6
    NOT_DURABLE = 7
    READ_ONLY = 8
    STALE = 9
    LIMIT = 10
    PANIC = 11


class Error(Exception):
    """Something that bpos refused or could not do.

    `status` is a `Status`, or the bare number of one that only a newer library knows. `message` says what is wrong,
    where, and what was expected; it never holds a key. `line` and `column` are the place in the document that is wrong,
    both counted from 1, the column in bytes; None if the error is not about a place in a document. `in_file` is True on a
    `NotDurableError` if the registry file has the change, but may lose it if the machine stops now.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        in_file: bool = False,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.line = line
        self.column = column
        self.in_file = in_file

    def __str__(self) -> str:
        return self.message


class InvalidArgumentError(Error):
    """An argument has no meaning here: a memory registry was told to reload, for instance."""


class FileError(Error):
    """The operating system refused to open, read or write the registry file."""


class FormatError(Error):
    """A document, a policy or a key's data does not follow its format."""


class NotFoundError(Error):
    """No key has that id."""


class ConflictError(Error):
    """The change contradicts what is in force: a duplicate id or digest, or a revoked key brought back."""


class FilePermissionError(Error):
    """The registry file is writable by others, or belongs to another user."""


class NotDurableError(Error):
    """The change may not survive: it is not certain that the registry file keeps it. What it takes away is in force in
    this process; what it grants is not. `in_file` says whether the file has it."""


class ReadOnlyError(Error):
    """The registry was opened read-only."""


class StaleError(Error):
    """The document is older (its revision is lower) than the one in force."""


class LimitError(Error):
    """Something is larger than its stated maximum, or memory ran out."""


class PanicError(Error):
    """bpos panicked; this is a bug in bpos. The registry can still be used."""


class ClosedError(Error, ValueError):
    """The registry was used after `close()`."""

    def __init__(self) -> None:
        super().__init__(Status.INVALID_ARGUMENT, "the registry is closed: open another one")

    def __reduce__(self) -> tuple[type[ClosedError], tuple[()]]:
        return ClosedError, ()


class LibraryError(ImportError):
    """The C library is missing or is not the one that this package needs; `path` is what was tried. `import bpos` raises
    it, so catch it as an ImportError."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message, name="bpos", path=path)


_CLASSES = {
    Status.INVALID_ARGUMENT: InvalidArgumentError,
    Status.IO: FileError,
    Status.FORMAT: FormatError,
    Status.NOT_FOUND: NotFoundError,
    Status.CONFLICT: ConflictError,
    Status.PERMISSION: FilePermissionError,
    Status.NOT_DURABLE: NotDurableError,
    Status.READ_ONLY: ReadOnlyError,
    Status.STALE: StaleError,
    Status.LIMIT: LimitError,
    Status.PANIC: PanicError,
}


def error_of(status: int, message: str, line: int, column: int, in_file: bool) -> Error:
    """The exception for what the library reported, with 0 for no line and no column."""
    kind = Error
    try:
        status = Status(status)
        kind = _CLASSES[status]
    except ValueError:
        pass  # a newer library's
    return kind(status, message, line=line or None, column=column or None, in_file=in_file)
