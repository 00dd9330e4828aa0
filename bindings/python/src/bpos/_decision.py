"""The answer to one request."""

from __future__ import annotations

import ctypes
import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ._library import RawDecision, library

__all__ = ["SIZE", "Decision", "Reason", "decision_of"]

#: The `size` of a bpos_decision, set before each call.
SIZE = ctypes.sizeof(RawDecision)


class Reason(enum.Enum):
    """Why a request was denied, in the order of the checks: the first that fails decides. For the host's log, where
    `str(reason)` is `rate_limited`, for example; a client gets `Decision.body`. The numbers never change."""

    INTERNAL = 0  #: bpos could not decide: a time out of range, a scope that does not exist, no memory. 500.
    KEY_IN_URL = 1  #: The target's query holds a key, where logs and histories record it. 401.
    MISSING_KEY = 2  #: There is no key, or an empty one. 401.
    MALFORMED_KEY = 3  #: The key is not "bpos_" and 16 to 123 ASCII letters and digits. 401.
    UNKNOWN_KEY = 4  #: The registry does not hold the key's digest. 401.
    REVOKED_KEY = 5  #: The key was revoked, permanently. 401.
    DISABLED_KEY = 6  #: The key is disabled. 401.
    EXPIRED_KEY = 7  #: The key, or the grace period of its previous secret, has expired. 401.
    WRONG_STORE = 8  #: The key belongs to another store than the request's. 401.
    UNMAPPED_ROUTE = 9  #: No route of the policy matches the method and the path. 403.
    INSUFFICIENT_SCOPE = 10  #: The key lacks the scope that the route needs. 403.
    TEST_MODE = 11  #: The key is in test mode, and the operation writes. 403.
    RATE_LIMITED = 12  #: As many requests as the key's limit were admitted in the last 60 seconds. 429.
    ALLOWED = 13  #: The request is allowed. 200.

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Decision:
    """What to do with a request, why, and what to tell the client.

    It is a plain value: it stays valid without its registry, and a test may make its own. It is true if the request is
    allowed and false otherwise, and one without arguments is a denial:

    >>> decision = Decision()
    >>> bool(decision), decision.status, str(decision.reason)
    (False, 500, 'internal')
    >>> decision.headers
    [('Content-Type', 'application/problem+json')]
    """

    status: int = 500
    """The HTTP status: 200 if the request is allowed; 401, 403 or 429 if not; 500 if bpos could not decide."""
    reason: Reason = Reason.INTERNAL
    """The exact reason. One that only a newer library knows is INTERNAL."""
    required_scope: str = ""
    """The scope that the operation needs; empty if the decision did not get that far."""
    limit: int = 0
    """The key's limit, in requests in any 60 seconds, on 200 and 429; otherwise 0."""
    remaining: int = 0
    """How many more requests would be allowed now, after this one."""
    retry_after_s: int = 0
    """On 429: whole seconds, rounded up and at least 1, until a request will be allowed again. Otherwise 0."""
    reset_s: int = 0
    """On 200 and 429: whole seconds, rounded up, until the oldest counted request leaves the window. Otherwise 0."""
    test_mode: bool = False
    """Whether the key is in test mode. Known once the client has proved that it holds the secret."""
    key_id: str = ""
    """The id of the key, for logs. Empty unless the client proved that it holds the secret."""
    store: str = ""
    """The store that the key belongs to. Empty unless the client proved that it holds the secret. Not for the client on
    a denial."""

    @property
    def allowed(self) -> bool:
        """Whether to serve the request."""
        return self.status == 200

    def __bool__(self) -> bool:
        return self.status == 200

    @property
    def code(self) -> str:
        """What the client may be told of the reason: the `code` of the body, for a host that writes a body of its own.
        It is the reason's name, but "invalid_key" for UNKNOWN_KEY, WRONG_STORE and MALFORMED_KEY, which a client must
        not tell apart. Empty when the request is allowed."""
        if self.allowed:
            return ""
        reason = _INTERNAL if self.reason is Reason.ALLOWED else self.reason
        text: bytes = library.bpos_reason_code(reason.value)
        return text.decode("ascii")

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers for the answer: WWW-Authenticate on 401, Retry-After on 429, RateLimit-Policy and RateLimit on
        200 and 429, and on a denial the Content-Type of the body."""
        text = _rendered(library.bpos_decision_headers, self).decode("ascii")
        lines = (line.partition(": ") for line in text.splitlines())
        return [(name, value) for name, _, value in lines]

    @property
    def body(self) -> bytes:
        """The body for the answer: on a denial an RFC 9457 problem in JSON, UTF-8; empty when the request is allowed.
        It tells the client no more than it may know."""
        return _rendered(library.bpos_decision_body, self)


def _rendered(function: Any, decision: Decision) -> bytes:
    raw = RawDecision(
        SIZE,
        decision.status,
        decision.reason.value,
        0,  # the answer has the scope's name and not its number
        decision.limit,
        decision.remaining,
        decision.retry_after_s,
        decision.reset_s,
    )
    if decision.status == 403:
        raw.scope = decision.required_scope.encode()
    length = function(raw, None, 0)
    text = ctypes.create_string_buffer(length + 1)
    function(raw, text, length + 1)
    return text.value


_REASONS = {reason.value: reason for reason in Reason}
_INTERNAL = Reason.INTERNAL  # to look up a member of an enum takes longer than all the fields together
# The numbers of a bpos_decision up to test_mode, taken out together: one by one they cost twice as much.
_numbers = struct.Struct("=4xiIIIIIIB").unpack_from
_new = object.__new__
_set_fields = Decision.__dict__["__dict__"].__set__


def decision_of(raw: RawDecision, scopes: Mapping[int, str]) -> Decision:
    """What the library decided. The fields are set at once: through the constructor of a frozen dataclass, which sets
    them one by one, they would cost as much as the whole call."""
    status, reason, required_scope, limit, remaining, retry_after_s, reset_s, test_mode = _numbers(raw)
    decision = _new(Decision)
    _set_fields(
        decision,
        {
            "status": status,
            "reason": _REASONS.get(reason, _INTERNAL),
            "required_scope": scopes.get(required_scope, ""),
            "limit": limit,
            "remaining": remaining,
            "retry_after_s": retry_after_s,
            "reset_s": reset_s,
            "test_mode": test_mode == 1,
            "key_id": raw.key_id.decode(),
            "store": raw.store.decode(),
        },
    )
    return decision
