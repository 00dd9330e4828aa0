#!/usr/bin/env python3
"""Writes the decision vectors: the JSON files beside this program.

    python3 generate.py            rewrites every file
    python3 generate.py --check    exits 1 and names each file that differs from what would be written

Two things live here and check each other. The tables of cases say by hand which status and reason each call must
have. The model, at the end, is the decision in its plainest form: a list of timestamps for the rate limit, sets of
strings for the scopes. It fills in the rest of each expectation, and a case in which it disagrees with the hand-written
part stops the program. The model shares no code with the library.

The format of the files, and how to add a case, is in README.md.
"""

import hashlib
import json
import re
import sys
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit("usage: generate.py [--check]")
    differing = []
    for name, build in FILES.items():
        text = render(build())
        path = HERE / name
        if not arguments:
            path.write_bytes(text.encode("ascii"))
        elif not path.exists() or path.read_bytes() != text.encode("ascii"):
            differing.append(name)
    for name in differing:
        print(f"{name} differs from what generate.py writes", file=sys.stderr)
    return 1 if differing else 0


# ---------------------------------------------------------------------------------------------------------------------
# The documentation's facts, which the tables and the model share
# ---------------------------------------------------------------------------------------------------------------------

STATUS = {
    "key_in_url": 401,
    "missing_key": 401,
    "malformed_key": 401,
    "unknown_key": 401,
    "revoked_key": 401,
    "disabled_key": 401,
    "expired_key": 401,
    "wrong_store": 401,
    "unmapped_route": 403,
    "insufficient_scope": 403,
    "test_mode": 403,
    "rate_limited": 429,
    "allowed": 200,
}

# What a key that holds one scope may do: by hand, for the tables. The model follows the policy's "includes" instead.
GRANTS = {
    "products:read": {"products:read"},
    "customers:read": {"customers:read"},
    "sales:read": {"sales:read"},
    "inventory:read": {"inventory:read"},
    "loyalty:read": {"loyalty:read"},
    "gift_cards:read": {"gift_cards:read"},
    "store_credits:read": {"store_credits:read"},
    "products:write": {"products:write", "products:read"},
    "customers:write": {"customers:write", "customers:read"},
    "inventory:write": {"inventory:write", "inventory:read"},
    "webhooks:manage": {"webhooks:manage"},
}
SCOPES = list(GRANTS)
WRITE_SCOPES = {"products:write", "customers:write", "inventory:write", "webhooks:manage"}

ROUTES = """
products:read       GET     /products /products/{id} /categories /categories/{id} /brands /brands/{id} /settings
customers:read      GET     /customers /customers/{id} /customers/{id}/loyalty
sales:read          GET     /sales /sales/{id} /sales/{id}/items /receipts /receipts/{id}
inventory:read      GET     /inventory /inventory/{id} /inventory/adjustments /inventory/adjustments/{id}
loyalty:read        GET     /loyalty/tiers /loyalty/rewards /loyalty/transactions
gift_cards:read     GET     /gift-cards /gift-cards/{id}
store_credits:read  GET     /store-credits /store-credits/{id}
products:write      PATCH   /products/bulk
customers:write     POST    /customers
customers:write     PUT     /customers/{id}
customers:write     PATCH   /customers/{id}
inventory:write     POST    /inventory/adjustments
webhooks:manage     GET     /webhooks /webhooks/{id}
webhooks:manage     POST    /webhooks
webhooks:manage     PUT     /webhooks/{id}
webhooks:manage     PATCH   /webhooks/{id}
webhooks:manage     DELETE  /webhooks/{id}
"""


def built_in_routes():
    """Every (scope, method, path template) of the built-in policy."""
    for line in ROUTES.split("\n"):
        if line:
            scope, method, *paths = line.split()
            for path in paths:
                yield scope, method, "/api/v1" + path


def built_in_requests():
    """Every (scope, method, target) that a built-in route serves, HEAD included."""
    for scope, method, path in built_in_routes():
        target = path.replace("{id}", "17")
        yield scope, method, target
        if method == "GET":
            yield scope, "HEAD", target


BUILT_IN_POLICY = {
    "scopes": [
        {"name": scope, "includes": [name for name in SCOPES if name in granted and name != scope]}
        for scope, granted in GRANTS.items()
    ],
    "routes": [{"method": method, "path": path, "scope": scope} for scope, method, path in built_in_routes()],
}

# ---------------------------------------------------------------------------------------------------------------------
# decision.json
# ---------------------------------------------------------------------------------------------------------------------

NOW_MS = 1_789_948_800_000  # 2026-09-21T00:00:00Z
LATER = "2027-01-01T00:00:00Z"
LATER_MS = 1_798_761_600_000
START_US = 1_000_000_000
SECOND_US = 1_000_000
MINUTE_US = 60_000_000


def decision_file():
    return vector_file(
        "Every row of the decision table, and which of two rows wins when a request meets both.",
        [
            *one_case_for_each_row(),
            *pairs_of_rows(),
            all_rows_one_after_another(),
            *whole_answers(),
            *absent_and_empty(),
        ],
    )


# The rows of the decision table, in its order.
(KEY_IN_URL, MISSING, MALFORMED, UNKNOWN, REVOKED, DISABLED, EXPIRED, WRONG_STORE, UNMAPPED, INSUFFICIENT, TEST_MODE,
 RATE_LIMITED, ALLOWED) = STATUS
DENIALS = [reason for reason in STATUS if reason != ALLOWED]


def one_case_for_each_row():
    for reason in DENIALS:
        yield case(f"{reason} alone", *calls_that_meet(f"Only {reason}", [reason]))
    yield case("allowed", *calls_that_meet("Allowed", []))


def pairs_of_rows():
    for earlier, later in all_pairs(DENIALS):
        if can_both_apply(earlier, later):
            label = f"{earlier[:6]} and {later[:6]}"
            yield case(f"{earlier} wins over {later}", *calls_that_meet(label, [earlier, later]))
    yield case("missing_key wins over malformed_key: an empty key is no key", call("", "401 missing_key"))
    nobodys = "bpos_" + "a" * 15
    yield case("malformed_key wins over unknown_key", call(nobodys, "401 malformed_key"))


def can_both_apply(earlier, later):
    without_a_record = {MISSING, MALFORMED, UNKNOWN}
    needs_a_record = {REVOKED, DISABLED, EXPIRED, INSUFFICIENT, TEST_MODE, RATE_LIMITED}
    if earlier in without_a_record:
        return later not in without_a_record | needs_a_record
    # A key that is revoked or disabled in the document was never admitted, so its limit cannot be used up.
    return not (earlier in {REVOKED, DISABLED} and later == RATE_LIMITED)


def all_rows_one_after_another():
    """Everything is wrong at first; each call puts one more thing right, from the top of the table down."""
    calls = []
    for reason in DENIALS:
        rows = [reason]
        for later in DENIALS[DENIALS.index(reason) + 1:]:
            if can_both_apply(reason, later) and not (later == RATE_LIMITED and REVOKED in rows):
                rows.append(later)
        calls += calls_that_meet(f"From {reason}", rows)
    return case("everything is wrong, then one thing less each time", *calls)


def calls_that_meet(label, rows):
    """The calls whose last one meets every one of `rows`, the first of which decides."""
    owner = key_that_meets(label, rows)
    calls = []
    if RATE_LIMITED in rows:
        readable = "loyalty:read" if INSUFFICIENT in rows else "products:read"
        calls.append(call(owner, "200 allowed", scope=readable))

    secret = owner
    if MISSING in rows:
        secret = None
    elif MALFORMED in rows:
        secret = "bpos_too-short"
    elif UNKNOWN in rows:
        secret = new_secret("nobody's " + label)

    target = "/api/v1/products"
    if UNMAPPED in rows:
        target = "/api/v1/nothing"
    elif TEST_MODE in rows:
        target = "/api/v1/products/bulk"
    if KEY_IN_URL in rows:
        target += "?api_key=" + owner.secret

    decides = min(rows, key=list(STATUS).index, default=ALLOWED)
    calls.append(
        call(
            secret,
            f"{STATUS[decides]} {decides}",
            method="PATCH" if TEST_MODE in rows else "GET",
            target=target,
            store="otherstore" if WRONG_STORE in rows else "yourstore",
            ms=LATER_MS if EXPIRED in rows else NOW_MS,
        )
    )
    # The key is in the document even when no call sends it.
    return calls if secret is owner else [NotSent(owner), *calls]


def key_that_meets(label, rows):
    members = {}
    if REVOKED in rows:
        members["revoked_at"] = "2026-09-01T00:00:00Z"
    if DISABLED in rows:
        members["enabled"] = False
    if EXPIRED in rows:
        members["expires_at"] = LATER
    if TEST_MODE in rows:
        members["test_mode"] = True
    if RATE_LIMITED in rows:
        members["rate_limit"] = 1
    return Key(label, ["loyalty:read" if INSUFFICIENT in rows else "products:write"], **members)


INVALID_KEY_BODY = {
    "type": "about:blank",
    "title": "Unauthorized",
    "status": 401,
    "detail": "The API key is not valid.",
    "code": "invalid_key",
}
PROBLEM = "Content-Type: application/problem+json"
CHALLENGE = 'WWW-Authenticate: ApiKey realm="bpos"'


def whole_answers():
    """One answer of each status, with every field written by hand."""
    owner = Key("Whole answers", ["customers:write"], rate_limit=2)
    tester = Key("Whole answers test", ["products:write"], test_mode=True)
    yield case(
        "whole answers: 200 and 429",
        call(owner, "200 allowed", target="/api/v1/customers", required_scope="customers:read", limit=2, remaining=1,
             reset_s=61, retry_after_s=0, test_mode=False, key_id=owner.id, store_="yourstore", body=None,
             headers=['RateLimit-Policy: "default";q=2;w=60', 'RateLimit: "default";r=1;t=61']),
        call(owner, "200 allowed", us=START_US + 10 * SECOND_US, method="POST", target="/api/v1/customers",
             required_scope="customers:write", limit=2, remaining=0, reset_s=51,
             headers=['RateLimit-Policy: "default";q=2;w=60', 'RateLimit: "default";r=0;t=51']),
        call(owner, "429 rate_limited", us=START_US + 20 * SECOND_US, target="/api/v1/customers/17",
             required_scope="customers:read", limit=2, remaining=0, reset_s=41, retry_after_s=41, key_id=owner.id,
             headers=["Retry-After: 41", 'RateLimit-Policy: "default";q=2;w=60', 'RateLimit: "default";r=0;t=41',
                      PROBLEM],
             body={"type": "about:blank", "title": "Too Many Requests", "status": 429,
                   "detail": "The API key's rate limit is used up.", "code": "rate_limited", "retry_after": 41}),
    )
    yield case(
        "whole answers: 403",
        call(tester, "403 insufficient_scope", target="/api/v1/sales", required_scope="sales:read", limit=0,
             remaining=0, reset_s=0, retry_after_s=0, test_mode=True, key_id=tester.id, store_="yourstore",
             headers=[PROBLEM],
             body={"type": "about:blank", "title": "Forbidden", "status": 403,
                   "detail": "The API key lacks the scope that this endpoint needs.", "code": "insufficient_scope",
                   "required_scope": "sales:read"}),
        call(tester, "403 test_mode", method="PATCH", target="/api/v1/products/bulk", required_scope="products:write",
             headers=[PROBLEM],
             body={"type": "about:blank", "title": "Forbidden", "status": 403,
                   "detail": "The API key is in test mode and can only read.", "code": "test_mode",
                   "required_scope": "products:write"}),
        call(tester, "403 unmapped_route", target="/api/v1/nothing", required_scope="", test_mode=True,
             key_id=tester.id, headers=[PROBLEM],
             body={"type": "about:blank", "title": "Forbidden", "status": 403,
                   "detail": "No scope grants access to this endpoint.", "code": "unmapped_route"}),
    )
    yield case(
        "whole answers: a malformed key, an unknown one and one of another store read the same",
        call("bpos_", "401 malformed_key", key_id="", store_="", headers=[CHALLENGE, PROBLEM], body=INVALID_KEY_BODY),
        call(new_secret("nobody's"), "401 unknown_key", key_id="", store_="", test_mode=False,
             headers=[CHALLENGE, PROBLEM], body=INVALID_KEY_BODY),
        call(tester, "401 wrong_store", store="otherstore", key_id=tester.id, store_="yourstore", test_mode=True,
             required_scope="", headers=[CHALLENGE, PROBLEM], body=INVALID_KEY_BODY),
    )


def absent_and_empty():
    owner = Key("Absent and empty", ["products:write"])
    yield case("an absent key", call(None, "401 missing_key"))
    yield case("a key that is present but empty", call("", "401 missing_key"))
    yield case(
        "an absent and an empty key, whatever else is named",
        call(None, "401 missing_key", store=None),
        call("", "401 missing_key", store=""),
        call(None, "401 missing_key", scope="products:read"),
        call("", "401 missing_key", scope="products:read", store=None),
        call(None, "401 missing_key", target="/api/v1/nothing"),
    )
    yield case(
        "a store that is named, not named, or empty",
        call(owner, "200 allowed", store="yourstore", store_="yourstore"),
        call(owner, "200 allowed", store=None, store_="yourstore"),
        call(owner, "401 wrong_store", store="", store_="yourstore"),
        call(owner, "401 wrong_store", store="otherstore", store_="yourstore"),
    )
    yield case(
        "HEAD is a GET",
        call(owner, "200 allowed", method="HEAD", required_scope="products:read"),
        call(owner, "403 unmapped_route", method="HEAD", target="/api/v1/products/bulk"),
        call(owner, "403 insufficient_scope", method="HEAD", target="/api/v1/sales"),
    )
    yield case(
        "the host names the scope",
        call(owner, "200 allowed", scope="products:read", required_scope="products:read"),
        call(owner, "200 allowed", scope="products:write", required_scope="products:write"),
        call(owner, "403 insufficient_scope", scope="webhooks:manage", required_scope="webhooks:manage"),
        call(owner, "401 wrong_store", scope="products:read", store="otherstore", required_scope=""),
        call(new_secret("nobody's"), "401 unknown_key", scope="products:read", required_scope=""),
        call("bpos_", "401 malformed_key", scope="products:read", required_scope=""),
    )


# ---------------------------------------------------------------------------------------------------------------------
# scopes.json and test_mode.json
# ---------------------------------------------------------------------------------------------------------------------

# One request for each scope.
ROUTE_OF = {
    "products:read": ("GET", "/api/v1/products"),
    "customers:read": ("GET", "/api/v1/customers/17"),
    "sales:read": ("GET", "/api/v1/sales/17/items"),
    "inventory:read": ("GET", "/api/v1/inventory/adjustments"),
    "loyalty:read": ("GET", "/api/v1/loyalty/tiers"),
    "gift_cards:read": ("GET", "/api/v1/gift-cards/17"),
    "store_credits:read": ("GET", "/api/v1/store-credits"),
    "products:write": ("PATCH", "/api/v1/products/bulk"),
    "customers:write": ("POST", "/api/v1/customers"),
    "inventory:write": ("POST", "/api/v1/inventory/adjustments"),
    "webhooks:manage": ("DELETE", "/api/v1/webhooks/17"),
}

SEVERAL_SCOPES = [
    ["products:read", "sales:read"],
    ["customers:read", "customers:write"],
    ["inventory:write", "products:write", "customers:write"],
    ["webhooks:manage", "gift_cards:read"],
    [scope for scope in SCOPES if scope.endswith(":read")],
    [scope for scope in SCOPES if not scope.endswith(":read")],
    SCOPES,
]


def scopes_file():
    cases = []
    for scope in SCOPES:
        owner = Key(scope, [scope], rate_limit=1000)
        by_route = [
            call(owner, says_scope(needed in GRANTS[scope]), method=method, target=target, required_scope=needed)
            for needed, (method, target) in ROUTE_OF.items()
        ]
        cases += [every_scope_named(owner), case(f"held: {scope}; by route", *by_route)]
    cases += [every_scope_named(Key(f"{len(held)} scopes from {held[0]}", held)) for held in SEVERAL_SCOPES]
    return vector_file("Every scope that a key may hold against every scope that a request may need.", cases)


def every_scope_named(owner):
    granted = set().union(*(GRANTS[scope] for scope in owner.record["scopes"]))
    calls = [call(owner, says_scope(needed in granted), scope=needed, required_scope=needed) for needed in SCOPES]
    return case(f"held: {owner.record['name']}; the host names the scope", *calls)


def says_scope(granted):
    return "200 allowed" if granted else "403 insufficient_scope"


def test_mode_file():
    cases = []
    for held in SCOPES:
        tester = Key(f"test mode {held}", [held], test_mode=True, rate_limit=1000)
        live = Key(f"live {held}", [held], test_mode=False, rate_limit=1000)
        # scopes.json has what a live key is refused, so here it makes only the requests that its scope grants.
        cases += mode_cases(tester, f"test mode, {held}", GRANTS[held], SCOPES)
        cases += mode_cases(live, f"live, {held}", GRANTS[held], GRANTS[held])
    about = "A key in test mode reads and never writes: mode x scope held x every route and scope."
    return vector_file(about, cases)


def mode_cases(owner, title, granted, asked_for):
    test_mode = owner.record["test_mode"]
    by_route = [
        call(owner, says_mode(test_mode, needed in granted, method not in ("GET", "HEAD")),
             method=method, target=target, required_scope=needed)
        for needed, method, target in built_in_requests()
        if needed in asked_for and (method != "HEAD" or needed in granted)
    ]
    by_scope = [
        call(owner, says_mode(test_mode, needed in granted, needed in WRITE_SCOPES), scope=needed)
        for needed in SCOPES
        if needed in asked_for
    ]
    return [case(f"{title}: every route", *by_route), case(f"{title}: every scope", *by_scope)]


def says_mode(test_mode, granted, writes):
    if not granted:
        return "403 insufficient_scope"
    return "403 test_mode" if test_mode and writes else "200 allowed"


# ---------------------------------------------------------------------------------------------------------------------
# expiry.json
# ---------------------------------------------------------------------------------------------------------------------

LARGEST_MS = 2**53 - 1  # the largest whole number that every JSON reader keeps

# An expiry date, and the same instant in milliseconds since 1970, worked out with another program (GNU date).
EXPIRIES = [
    ("2027-01-01T00:00:00Z", 1_798_761_600_000),
    ("2026-12-31T23:59:59.999Z", 1_798_761_599_999),
    ("2026-09-21T00:00:00.5Z", 1_789_948_800_500),
    ("2026-09-21T00:00:00.25Z", 1_789_948_800_250),
    ("2026-09-21T00:00:00.001Z", 1_789_948_800_001),
    ("2028-02-29T23:59:59Z", 1_835_481_599_000),
    ("2000-02-29T12:00:00Z", 951_825_600_000),
    ("2100-03-01T00:00:00Z", 4_107_542_400_000),
    ("2038-01-19T03:14:08Z", 2_147_483_648_000),
    ("2106-02-07T06:28:16Z", 4_294_967_296_000),
    ("1970-01-01T00:00:00Z", 0),
    ("1969-12-31T23:59:59.999Z", -1),
    ("1900-03-01T00:00:00Z", -2_203_891_200_000),
    ("1582-10-15T00:00:00Z", -12_219_292_800_000),
    ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ("0000-02-29T00:00:00Z", -62_162_121_600_000),
    ("0000-01-01T00:00:00Z", -62_167_219_200_000),
    ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
]


def expiry_file():
    return vector_file(
        "A key is denied from the instant of its expiry on, and a rotated-out secret from the end of its grace on.",
        [*expiry_cases(), *grace_cases(), *lasting_cases()],
    )


def expiry_cases():
    for text, at_ms in EXPIRIES:
        owner = Key("until " + text, ["products:read"], created_at="0000-01-01T00:00:00Z", expires_at=text)
        yield case(
            f"a key that expires at {text}",
            call(owner, "200 allowed", ms=at_ms - 1),
            call(owner, "401 expired_key", ms=at_ms),
            call(owner, "401 expired_key", ms=at_ms + 1),
            call(owner, "200 allowed", ms=-LARGEST_MS),
            call(owner, "401 expired_key", ms=LARGEST_MS),
            call(owner, "401 expired_key", ms=at_ms, scope="products:read"),
        )
    owner = Key("clock set back", ["products:read"], expires_at=LATER)
    yield case(
        "the wall clock alone decides, also when it is set back",
        call(owner, "401 expired_key", ms=LATER_MS),
        call(owner, "200 allowed", ms=LATER_MS - 1),
        call(owner, "401 expired_key", ms=LATER_MS, us=START_US),
        call(owner, "200 allowed", ms=LATER_MS - 1, us=START_US + 10**9),
    )


def grace_cases():
    for text, until_ms in EXPIRIES[:4] + EXPIRIES[-4:]:
        owner = Key("grace " + text, ["products:read"], created_at="0000-01-01T00:00:00Z", grace_until=text)
        yield case(
            f"a rotated-out secret whose grace ends at {text}",
            call(owner.old_secret, "200 allowed", ms=until_ms - 1),
            call(owner.old_secret, "401 expired_key", ms=until_ms, key_id=owner.id),
            call(owner.old_secret, "401 expired_key", ms=until_ms + 1),
            call(owner, "200 allowed", ms=until_ms - 1),
            call(owner, "200 allowed", ms=until_ms),
            call(owner, "200 allowed", ms=until_ms + 1),
        )
    first, second = "2026-12-31T23:59:59.999Z", LATER
    past = Key("grace past expiry", ["products:read"], expires_at=first, grace_until=second)
    before = Key("grace before expiry", ["products:read"], expires_at=second, grace_until=first)
    both = Key("grace and expiry", ["products:read"], expires_at=second, grace_until=second)
    yield case(
        "a grace that would end after the key's own expiry ends with it",
        call(past.old_secret, "200 allowed", ms=LATER_MS - 2),
        call(past.old_secret, "401 expired_key", ms=LATER_MS - 1),
        call(past.old_secret, "401 expired_key", ms=LATER_MS),
        call(past, "200 allowed", ms=LATER_MS - 2),
        call(past, "401 expired_key", ms=LATER_MS - 1),
    )
    yield case(
        "a grace that ends before the key's own expiry",
        call(before.old_secret, "200 allowed", ms=LATER_MS - 2),
        call(before.old_secret, "401 expired_key", ms=LATER_MS - 1),
        call(before, "200 allowed", ms=LATER_MS - 1),
        call(before, "401 expired_key", ms=LATER_MS),
        call(before.old_secret, "401 expired_key", ms=LATER_MS),
    )
    yield case(
        "a grace and an expiry at the same instant",
        call(both.old_secret, "200 allowed", ms=LATER_MS - 1),
        call(both, "200 allowed", ms=LATER_MS - 1),
        call(both.old_secret, "401 expired_key", ms=LATER_MS),
        call(both, "401 expired_key", ms=LATER_MS),
    )
    yield case("the old secret answers for the record as it is now", *old_secret_of_other_records())


def old_secret_of_other_records():
    revoked = Key("rotated revoked", ["products:read"], grace_until=LATER, revoked_at="2026-09-01T00:00:00Z")
    disabled = Key("rotated disabled", ["products:read"], grace_until=LATER, enabled=False)
    tester = Key("rotated test", ["products:write"], grace_until=LATER, test_mode=True)
    bulk = {"method": "PATCH", "target": "/api/v1/products/bulk"}
    return [
        call(revoked.old_secret, "401 revoked_key"),
        call(revoked.old_secret, "401 revoked_key", ms=LATER_MS),
        call(revoked, "401 revoked_key"),
        call(disabled.old_secret, "401 disabled_key"),
        call(disabled.old_secret, "401 disabled_key", ms=LATER_MS),
        call(tester.old_secret, "403 test_mode", **bulk),
        call(tester.old_secret, "401 expired_key", ms=LATER_MS, **bulk),
        call(tester.old_secret, "401 wrong_store", store="otherstore"),
        call(tester.old_secret, "401 expired_key", store="otherstore", ms=LATER_MS),
        call(tester.old_secret, "403 insufficient_scope", target="/api/v1/sales"),
    ]


def lasting_cases():
    lasting = Key("no expiry", ["products:read"])
    named = Key("no expiry named", ["products:read"], expires_at=None, revoked_at=None, test_mode=False, enabled=True)
    extremes = (-LARGEST_MS, -62_167_219_200_001, -1, 0, 1, NOW_MS, 253_402_300_800_000, LARGEST_MS)
    yield case("a key without an expiry lasts", *(call(lasting, "200 allowed", ms=ms) for ms in extremes))
    yield case("a key whose expiry is null lasts", *(call(named, "200 allowed", ms=ms) for ms in extremes))
    revoked = Key("revoked later", ["products:read"], revoked_at=LATER)
    yield case(
        "a revoked key is revoked at any time: a clock set back does not bring it back",
        *(call(revoked, "401 revoked_key", ms=ms) for ms in (*extremes, LATER_MS - 1, LATER_MS)),
    )
    early = Key("created later", ["products:read"], created_at=LATER)
    yield case("the date of creation decides nothing", *(call(early, "200 allowed", ms=ms) for ms in extremes))


# ---------------------------------------------------------------------------------------------------------------------
# key_format.json
# ---------------------------------------------------------------------------------------------------------------------


def key_format_file():
    return vector_file(
        "Only the whole key, byte for byte, is the key: nothing is trimmed, folded, cut or decoded.",
        [*lengths(), *altered_keys(), *imported_keys(), *parts_of_a_key(), *bit_flips()],
    )


def format_owner():
    return Key("Format", ["products:read"], rate_limit=1000)


def lengths():
    for length in (0, 1, 2, 4, 5, 6, 19, 20, 21, 22, 40, 41, 42, 64, 127, 128, 129, 130, 256, 4096):
        sent = ("bpos_" + "a" * 4096)[:length]
        if length == 0:
            says = "401 missing_key"
        else:
            says = "401 unknown_key" if 21 <= length <= 128 else "401 malformed_key"
        yield case(f"{length} bytes", call(sent, says))


def altered_keys():
    good = format_owner().secret
    body, checksum = good[5:35], good[35:]
    wrong = "".join("0" if character != "0" else "1" for character in checksum)
    table = [
        ("the key itself", good, "200 allowed"),
        ("a space before", " " + good, "401 malformed_key"),
        ("a space after", good + " ", "401 malformed_key"),
        ("a tab after", good + "\t", "401 malformed_key"),
        ("a newline after", good + "\n", "401 malformed_key"),
        ("a newline before", "\n" + good, "401 malformed_key"),
        ("CR LF after", good + "\r\n", "401 malformed_key"),
        ("a NUL after", good + "\0", "401 malformed_key"),
        ("a NUL before", "\0" + good, "401 malformed_key"),
        ("a NUL inside", good[:20] + "\0" + good[21:], "401 malformed_key"),
        ("a NUL put in", good[:20] + "\0" + good[20:], "401 malformed_key"),
        ("a NUL and other text after", good + "\0bpos_", "401 malformed_key"),
        ("one NUL", "\0", "401 malformed_key"),
        ("one space", " ", "401 malformed_key"),
        ("41 NULs", "\0" * 41, "401 malformed_key"),
        ("a NUL after the prefix", "bpos_\0" + good[6:], "401 malformed_key"),
        ("in upper case", good.upper(), "401 malformed_key"),
        ("in lower case", good.lower(), "401 unknown_key"),
        ("with its case swapped", good.swapcase(), "401 malformed_key"),
        ("with the prefix in upper case", "BPOS_" + good[5:], "401 malformed_key"),
        ("with the prefix capitalized", "Bpos_" + good[5:], "401 malformed_key"),
        ("with what follows the prefix in upper case", "bpos_" + good[5:].upper(), "401 unknown_key"),
        ("with a hyphen after the prefix", "bpos-" + good[5:], "401 malformed_key"),
        ("with two underscores", "bpos__" + good[5:], "401 malformed_key"),
        ("with the prefix twice", "bpos_" + good, "401 malformed_key"),
        ("without the prefix", good[5:], "401 malformed_key"),
        ("without the first letter", good[1:], "401 malformed_key"),
        ("with another vendor's prefix", "apos_" + good[5:], "401 malformed_key"),
        ("twice", good + good, "401 malformed_key"),
        ("twice, with a comma", good + "," + good, "401 malformed_key"),
        ("twice, with a comma and a space", good + ", " + good, "401 malformed_key"),
        ("after a scheme", "Bearer " + good, "401 malformed_key"),
        ("after another scheme", "ApiKey " + good, "401 malformed_key"),
        ("in quotes", '"' + good + '"', "401 malformed_key"),
        ("in angle brackets", "<" + good + ">", "401 malformed_key"),
        ("as a JSON string in a list", '["' + good + '"]', "401 malformed_key"),
        ("with its header's name", "X-API-Key: " + good, "401 malformed_key"),
        ("percent-encoded", good.replace("_", "%5F"), "401 malformed_key"),
        ("with a hyphen inside", good[:20] + "-" + good[20:], "401 malformed_key"),
        ("with an underscore inside", good[:20] + "_" + good[20:], "401 malformed_key"),
        ("with a soft hyphen inside", good[:20] + "\u00ad" + good[20:], "401 malformed_key"),
        ("with a zero-width space after", good + "\u200b", "401 malformed_key"),
        ("with a no-break space after", good + "\u00a0", "401 malformed_key"),
        ("with a byte order mark before", "\ufeff" + good, "401 malformed_key"),
        ("with a Cyrillic o in the prefix", "bp\u043es_" + good[5:], "401 malformed_key"),
        ("with full-width letters", "bpos_" + "\uff21" * 16, "401 malformed_key"),
        ("with Arabic digits", "bpos_" + "\u0661" * 16, "401 malformed_key"),
        ("with a letter beyond the BMP", "bpos_" + "\U0001d5ba" * 16, "401 malformed_key"),
        ("with a long s for the s", "bpo\u017f_" + good[5:], "401 malformed_key"),
        ("with a Kelvin sign", good[:40] + "\u212a", "401 malformed_key"),
        ("with one character more", good + "0", "401 unknown_key"),
        ("with one character less", good[:-1], "401 unknown_key"),
        ("reversed after the prefix", "bpos_" + good[:4:-1], "401 unknown_key"),
        ("with another checksum", "bpos_" + body + wrong, "401 unknown_key"),
        ("without the checksum", "bpos_" + body, "401 unknown_key"),
        ("with the checksum alone", "bpos_" + checksum, "401 malformed_key"),
        ("with the checksum first", "bpos_" + checksum + body, "401 unknown_key"),
        ("another key with a true checksum", new_secret("nobody's"), "401 unknown_key"),
        ("the key's digest", sha256(good), "401 malformed_key"),
        ("the key's digest after the prefix", "bpos_" + sha256(good), "401 unknown_key"),
        ("the key's id", format_owner().id, "401 malformed_key"),
        ("the key's hint", good[:9], "401 malformed_key"),
        ("a pattern", "bpos_" + "*" * 36, "401 malformed_key"),
        ("a regular expression", "bpos_.{36}", "401 malformed_key"),
        ("the documentation's example", "bpos_abc123...", "401 malformed_key"),
        ("the word null", "null", "401 malformed_key"),
        ("not UTF-8: a stray byte after", good.encode() + b"\xff", "401 malformed_key"),
        ("not UTF-8: a stray byte before", b"\xff" + good.encode(), "401 malformed_key"),
        ("not UTF-8: a stray byte inside", good[:20].encode() + b"\x80" + good[21:].encode(), "401 malformed_key"),
        ("not UTF-8: one byte", b"\xff", "401 malformed_key"),
        ("not UTF-8: a cut sequence", b"bpos_0123456789abcdef\xc3", "401 malformed_key"),
        ("not UTF-8: an overlong NUL", good.encode() + b"\xc0\x80", "401 malformed_key"),
        ("not UTF-8: an overlong underscore", good.encode().replace(b"_", b"\xc1\x9f"), "401 malformed_key"),
        ("not UTF-8: a surrogate", good.encode() + b"\xed\xa0\x80", "401 malformed_key"),
        ("not UTF-8: Latin-1 letters", b"bpos_" + b"\xe9" * 36, "401 malformed_key"),
        ("not UTF-8: UTF-16 with a mark", b"\xff\xfe" + good.encode("utf-16-le"), "401 malformed_key"),
        ("UTF-16", good.encode("utf-16-le"), "401 malformed_key"),
    ]
    for name, sent, says in table:
        yield case(name, call(format_owner() if sent == good else sent, says), NotSent(format_owner()))


def imported_keys():
    """Keys without a checksum, of the shortest and the longest form; and digests of what is no key at all."""
    for length in (16, 17, 36, 122, 123):
        secret = "bpos_" + base62(f"imported {length}", length)
        owner = Key(f"Imported {length}", ["products:read"], secret=secret)
        yield case(
            f"an imported key with {length} characters after the prefix",
            call(owner, "200 allowed"),
            call(secret[:-1], "401 malformed_key" if length == 16 else "401 unknown_key"),
            call(secret + "0", "401 malformed_key" if length == 123 else "401 unknown_key"),
            call(secret + "\0", "401 malformed_key"),
        )
    misfits = [
        ("nothing", "", "401 missing_key"),
        ("the prefix", "bpos_", "401 malformed_key"),
        ("15 characters after the prefix", "bpos_" + "a" * 15, "401 malformed_key"),
        ("124 characters after the prefix", "bpos_" + "a" * 124, "401 malformed_key"),
        ("a key with a newline", "bpos_" + "a" * 36 + "\n", "401 malformed_key"),
        ("another prefix", "apos_" + "a" * 36, "401 malformed_key"),
    ]
    for name, secret, says in misfits:
        owner = Key("Digest of " + name, ["products:read"], secret=secret)
        yield case(f"the registry holds the digest of {name}", call(secret, says), NotSent(owner))


def parts_of_a_key():
    good = format_owner().secret
    prefixes = [
        call(good[:length], "401 missing_key" if not length else says_unregistered(good[:length]))
        for length in range(len(good))
    ]
    suffixes = [call(good[start:], says_unregistered(good[start:])) for start in range(1, len(good))]
    swaps = [
        good[:index] + good[index].swapcase() + good[index + 1:]
        for index in range(len(good))
        if good[index].swapcase() != good[index]
    ]
    yield case("every prefix of a key", *prefixes, NotSent(format_owner()))
    yield case("every suffix of a key", *suffixes)
    yield case("a change of case at every letter", *(call(swap, says_unregistered(swap)) for swap in swaps))
    long = "bpos_" + base62("imported 123", 123)
    yield case(
        "prefixes of an imported key",
        *(call(long[:length], says_unregistered(long[:length])) for length in range(17, 128, 10)),
    )


def bit_flips():
    """Every bit at the ends of the prefix and of the key; elsewhere the lowest, that of the case, and the highest."""
    good = format_owner().secret.encode()
    for index in range(len(good)):
        flips = []
        for bit in range(8) if index in (0, 4, 5, 40) else (0, 5, 7):
            flipped = good[:index] + bytes([good[index] ^ 1 << bit]) + good[index + 1:]
            flips.append(call(flipped, says_unregistered(flipped.decode("latin-1"))))
        yield case(f"bits of byte {index} flipped", *flips)


def says_unregistered(sent):
    rest = sent[5:]
    well_formed = sent.startswith("bpos_") and 16 <= len(rest) <= 123 and rest.isascii() and rest.isalnum()
    return "401 unknown_key" if well_formed else "401 malformed_key"


# ---------------------------------------------------------------------------------------------------------------------
# key_in_url.json
# ---------------------------------------------------------------------------------------------------------------------


def key_in_url_file():
    owner = Key("In the URL", ["products:read"], rate_limit=1000)
    cases = [case(name, call(owner, says, target=target)) for name, target, says in key_in_url_table(owner.secret)]
    for method in ("HEAD", "POST", "PATCH", "nonsense"):
        in_query = "/api/v1/products?key=" + owner.secret
        cases.append(case(f"with the method {method}", call(owner, "401 key_in_url", method=method, target=in_query)))
    about = "A key in the query of the target is refused, however it is written; near misses are not."
    return vector_file(about, cases)


def key_in_url_table(key):
    found, fine, unmapped = "401 key_in_url", "200 allowed", "403 unmapped_route"
    path = "/api/v1/products"
    sixteen = "0123456789abcdef"
    encoded = "".join(f"%{ord(character):02x}" for character in key)
    return [
        # Plainly there.
        ("as a parameter", f"{path}?api_key={key}", found),
        ("as the second parameter", f"{path}?page=2&api_key={key}", found),
        ("before another parameter", f"{path}?api_key={key}&page=2", found),
        ("between parameters", f"{path}?a=1&b={key}&c=3", found),
        ("as a parameter's name", f"{path}?{key}=1", found),
        ("as the whole query", f"{path}?{key}", found),
        ("in brackets", f"{path}?keys[]={key}", found),
        ("in JSON", f'{path}?filter={{"key":"{key}"}}', found),
        ("in a URL", f"{path}?next=http://example.com/?key={key}", found),
        ("after a semicolon", f"{path}?a=1;key={key}", found),
        ("after a plus", f"{path}?q=my+{key}", found),
        ("after a second question mark", f"{path}?a?{key}", found),
        ("after two question marks", f"{path}??{key}", found),
        ("after a fragment's sign in the query", f"{path}?a=1#{key}", found),
        ("after a fragment's sign before the question mark", f"{path}#?{key}", found),
        ("two keys", f"{path}?a={key}&b={key}", found),
        ("a key that nobody has", f"{path}?key={new_secret('nobody')}", found),
        ("on a path without a route", f"/nothing?key={key}", found),
        ("on a hostile path", f"/api/v1/../products?key={key}", found),
        ("on the root", f"/?key={key}", found),
        ("without a path", f"?key={key}", found),
        ("on an absolute target", f"http://example.com{path}?key={key}", found),
        ("with a slash before the query", f"{path}/?key={key}", found),
        ("after a text that is not ASCII", f"{path}?caf\u00e9={key}", found),
        ("after a control byte", f"{path}?a=\x01{key}", found),
        ("after a NUL", f"{path}?a=\0{key}", found),
        ("after a long query", f"{path}?{'a' * 1000}&{key}", found),
        # How long it must be.
        ("16 characters", f"{path}?q=bpos_{sixteen}", found),
        ("15 characters", f"{path}?q=bpos_{sixteen[1:]}", fine),
        ("15 characters and a parameter", f"{path}?q=bpos_{sixteen[1:]}&a=1", fine),
        ("15 characters and an underscore", f"{path}?q=bpos_{sixteen[1:]}_a", fine),
        ("16 characters and an underscore", f"{path}?q=bpos_{sixteen}_a", found),
        ("16 digits", f"{path}?q=bpos_{'1' * 16}", found),
        ("16 upper-case letters", f"{path}?q=bpos_{'Z' * 16}", found),
        ("123 characters", f"{path}?q=bpos_{'a' * 123}", found),
        ("124 characters", f"{path}?q=bpos_{'a' * 124}", found),
        ("16 characters, the last not ASCII", f"{path}?q=bpos_{sixteen[1:]}\u00e9", fine),
        # Disguised once.
        ("every byte percent-encoded", f"{path}?q={encoded}", found),
        ("every byte percent-encoded, in upper case", f"{path}?q={encoded.upper()}", found),
        ("its first letter percent-encoded", f"{path}?q=%62{key[1:]}", found),
        ("its second letter percent-encoded", f"{path}?q=b%70{key[2:]}", found),
        ("its underscore percent-encoded", f"{path}?q=bpos%5F{key[5:]}", found),
        ("its underscore percent-encoded in lower case", f"{path}?q=bpos%5f{key[5:]}", found),
        ("a later letter percent-encoded", f"{path}?q={key[:20]}%{ord(key[20]):02X}{key[21:]}", found),
        ("its 16th character percent-encoded", f"{path}?q=bpos_{sixteen[1:]}%66", found),
        ("only its prefix percent-encoded", f"{path}?q=%62%70%6f%73%5f{key[5:]}", found),
        ("after a percent-encoded NUL", f"{path}?q=%00{key}", found),
        ("after a percent-encoded newline", f"{path}?q=%0A{key}", found),
        ("after a percent-encoded space", f"{path}?q=%20{key}", found),
        ("after a percent-encoded byte that is not UTF-8", f"{path}?q=%ff{key}", found),
        ("after a percent-encoded equals sign", f"{path}?q%3D{key}", found),
        # A malformed percent sign stays as it is.
        ("after a malformed percent sign", f"{path}?q=%zz{key}", found),
        ("right after a percent sign", f"{path}?q=%{key}", found),
        ("after two percent signs", f"{path}?q=%%62{key[1:]}", found),
        ("after a percent sign and one digit", f"{path}?q=%6%62{key[1:]}", found),
        ("before a percent sign at the end", f"{path}?q={key}%", found),
        ("before half a percent sequence at the end", f"{path}?q={key}%6", found),
        ("15 characters before half a sequence at the end", f"{path}?q=bpos_{sixteen[1:]}%6", fine),
        ("a malformed percent sign in the prefix", f"{path}?q=bp%zzos_{key[5:]}", fine),
        ("half a sequence in the prefix", f"{path}?q=bpos%5{'G' * 36}", fine),
        ("a malformed percent sign after the prefix", f"{path}?q=bpos_%zz0123456789abc", fine),
        # As it stands it is there, though decoding takes its first letter for a digit.
        ("its first letter taken into a percent sequence", f"{path}?q=%b{key}", found),
        ("its first letter taken into the byte 0xAB", f"{path}?q=%A{key}", found),
        ("its first letter taken into a letter", f"{path}?q=%4{key}", found),
        ("its first letter taken, and a later one encoded", f"{path}?q=%A{key[:9]}%{ord(key[9]):02x}{key[10:]}", found),
        ("its first letter taken, 15 characters", f"{path}?q=%Abpos_{sixteen[1:]}", fine),
        ("its first letter taken by decoding, another for it", f"{path}?q=%A{key[1:]}", fine),
        ("a percent sign put before its letter's digits", f"{path}?q=%6%32pos_{key[5:]}", fine),
        # Found at any place.
        ("after a prefix that is cut short", f"{path}?q=bpos_abc{key}", found),
        ("after a prefix alone", f"{path}?q=bpos_{key}", found),
        ("after part of the prefix", f"{path}?q=bpo{key}", found),
        ("after the prefix's first letter", f"{path}?q=b{key}", found),
        ("after many prefixes", f"{path}?q={'bpos_' * 50}{sixteen}", found),
        ("after many short near misses", f"{path}?q={'bpos_abcdefghijklmno-' * 20}{key}", found),
        ("after a word", f"{path}?q=my{key}", found),
        # Near misses.
        ("a search for a product", f"{path}?q=bpos_cable", fine),
        ("the prefix alone", f"{path}?q=bpos_", fine),
        ("the brand's name", f"{path}?q=brotherpos&brand=bpos", fine),
        ("many prefixes", f"{path}?q={'bpos_' * 50}", fine),
        ("a prefix in upper case", f"{path}?q=BPOS_{key[5:]}", fine),
        ("a prefix capitalized", f"{path}?q=Bpos_{key[5:]}", fine),
        ("a hyphen for the underscore", f"{path}?q=bpos-{key[5:]}", fine),
        ("two underscores", f"{path}?q=bpos__{key[5:]}", fine),
        ("without the prefix", f"{path}?q={key[5:]}", fine),
        ("without the prefix's first letter", f"{path}?q={key[1:]}", fine),
        ("split over two parameters", f"{path}?a=bpos_abcdefgh&b=ijklmnop", fine),
        ("split by a plus", f"{path}?a=bpos_abcdefgh+ijklmnop", fine),
        ("split by a percent-encoded space", f"{path}?a=bpos_abcdefgh%20ijklmnop", fine),
        ("split by a percent-encoded NUL", f"{path}?a=bpos_abcdefgh%00ijklmnop", fine),
        ("split by a hyphen", f"{path}?a=bpos_abcdefgh-ijklmnop", fine),
        ("split by an underscore", f"{path}?a=bpos_abcdefgh_ijklmnop", fine),
        ("an equals sign after the prefix", f"{path}?bpos_={key[5:]}", fine),
        ("percent-encoded twice", f"{path}?q=%2562{key[1:]}", fine),
        ("every byte percent-encoded twice", f"{path}?q={encoded.replace('%', '%25')}", fine),
        ("its underscore percent-encoded twice", f"{path}?q=bpos%255F{key[5:]}", fine),
        ("full-width letters", f"{path}?q=\uff42pos_{key[5:]}", fine),
        ("an empty query", f"{path}?", fine),
        ("a query of question marks", f"{path}???", fine),
        ("a query of percent signs", f"{path}?%%%%", fine),
        # What is not the query.
        ("in the path", f"{path}/{key}", fine),
        ("in the path, with a query", f"{path}/{key}?page=2", fine),
        ("in the path, after a percent-encoded question mark", f"{path}/17%3Fkey={key}", fine),
        ("in a path without a route", f"/{key}", unmapped),
        ("in a fragment", f"{path}#{key}", unmapped),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# paths.json
# ---------------------------------------------------------------------------------------------------------------------

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def paths_file():
    return vector_file(
        "Which route a method and a path meet; a path that two routers might read differently meets none.",
        [*every_template(), *single_paths(), *methods()],
    )


def holder_of_all():
    return Key("Holder of all", SCOPES, rate_limit=1000)


def every_template():
    """Each built-in path with each method. What is not in the table of routes has no route."""
    table = {(method, target): scope for scope, method, target in built_in_requests()}
    for target in dict.fromkeys(target for _, target in table):
        calls = [routed(method, target, table.get((method, target))) for method in METHODS]
        yield case(f"every method on {target}", *calls)


def single_paths():
    for name, target, scope in PATHS:
        yield case(f"path: {name}", routed("GET", target, scope))
    yield case("path: a trailing slash on a write", routed("PATCH", "/api/v1/products/bulk/", "products:write"))
    yield case("path: a parameter's route does not serve a literal path", routed("PUT", "/api/v1/customers", None))
    yield case("path: a literal path has no other methods", routed("GET", "/api/v1/products/bulk", None))
    yield case("path: not quite that literal path", routed("GET", "/api/v1/products/bulky", "products:read"))
    for name, target, scope in FOLDED:
        yield case(f"path: {name}", routed("GET", target, scope))


def methods():
    for method in ("get", "Get", "GET ", " GET", "GET\0", "GETS", "GE", "head", "TRACE", "CONNECT", "PROPFIND", "*"):
        yield case(f"method: {method!r}", routed(method, "/api/v1/products", None))
    for method in ("post", "PoST", "POST\n"):
        yield case(f"method: {method!r}", routed(method, "/api/v1/customers", None))


def routed(method, target, scope):
    """A call by a key that holds every scope: allowed where there is a route."""
    says = "200 allowed" if scope else "403 unmapped_route"
    return call(holder_of_all(), says, method=method, target=target, required_scope=scope or "")


PRODUCTS, RECEIPTS, CUSTOMERS = "products:read", "sales:read", "customers:read"

# (name, target, the scope that it needs, or None where it meets no route)
PATHS = [
    # One trailing slash is ignored.
    ("plain", "/api/v1/products", PRODUCTS),
    ("a trailing slash", "/api/v1/products/", PRODUCTS),
    ("a trailing slash after a parameter", "/api/v1/products/17/", PRODUCTS),
    ("a trailing slash and a query", "/api/v1/products/?page=2", PRODUCTS),
    ("two trailing slashes", "/api/v1/products//", None),
    ("three trailing slashes", "/api/v1/products///", None),
    ("two slashes inside", "/api/v1//products", None),
    ("two slashes at the start", "//api/v1/products", None),
    ("two slashes where a parameter would be", "/api/v1/customers//loyalty", None),
    ("the root", "/", None),
    ("only slashes", "//", None),
    # The query is no part of the path.
    ("a query", "/api/v1/products?page=2", PRODUCTS),
    ("an empty query", "/api/v1/products?", PRODUCTS),
    ("a query that looks hostile", "/api/v1/products?next=/../%2e%2f\\;//#%zz", PRODUCTS),
    ("a query that is not ASCII", "/api/v1/products?q=caf\u00e9", PRODUCTS),
    ("a query with a control byte", "/api/v1/products?q=\x01", PRODUCTS),
    ("a query with a slash", "/api/v1/products?/17", PRODUCTS),
    ("a query with a route", "/api/v1/nothing?/api/v1/products", None),
    ("a long query", "/api/v1/products?" + "q" * 9000, PRODUCTS),
    # Byte for byte.
    ("in upper case", "/API/V1/PRODUCTS", None),
    ("one letter in upper case", "/api/v1/Products", None),
    ("the version in upper case", "/api/V1/products", None),
    ("a letter more", "/api/v1/productss", None),
    ("a letter less", "/api/v1/product", None),
    ("an underscore for a hyphen", "/api/v1/gift_cards", None),
    ("another version", "/api/v2/products", None),
    ("no version", "/api/products", None),
    ("no prefix", "/products", None),
    ("the prefix alone", "/api/v1", None),
    ("the prefix and a slash", "/api/v1/", None),
    ("a prefix before", "/x/api/v1/products", None),
    ("a segment after", "/api/v1/products/17/reviews", None),
    ("a segment between", "/api/v1/x/products", None),
    ("an extension", "/api/v1/products.json", None),
    ("no slash at the start", "api/v1/products", None),
    ("another letter for the first slash", "xapi/v1/products", None),
    ("a star", "*", None),
    ("an absolute target", "http://example.com/api/v1/products", None),
    ("an authority", "example.com:443", None),
    ("a query alone", "?page=2", None),
    ("a space before", " /api/v1/products", None),
    # A parameter is one segment, not empty.
    ("a parameter", "/api/v1/products/17", PRODUCTS),
    ("a parameter inside", "/api/v1/customers/17/loyalty", CUSTOMERS),
    ("a parameter inside that is missing", "/api/v1/customers/loyalty", CUSTOMERS),
    ("a parameter of one character", "/api/v1/receipts/a", RECEIPTS),
    ("a parameter in braces", "/api/v1/receipts/{id}", RECEIPTS),
    ("a parameter that is a UUID", "/api/v1/receipts/0b9f4c1e-6a77-4c54-9f6d-1a2b3c4d5e6f", RECEIPTS),
    ("a parameter with unreserved characters", "/api/v1/receipts/a-b.c_d~e", RECEIPTS),
    ("a parameter with other characters", "/api/v1/receipts/!$&'()*+,=:@", RECEIPTS),
    ("a parameter that names a resource", "/api/v1/receipts/products", RECEIPTS),
    ("a parameter of three dots", "/api/v1/receipts/...", RECEIPTS),
    ("a parameter that begins with a dot", "/api/v1/receipts/.17", RECEIPTS),
    ("a parameter that begins with two dots", "/api/v1/receipts/..17", RECEIPTS),
    ("a parameter that ends with a dot", "/api/v1/receipts/17.", RECEIPTS),
    ("a parameter that ends with two dots", "/api/v1/receipts/17..", RECEIPTS),
    ("two parameters where one is", "/api/v1/receipts/17/18", None),
    ("a literal that a parameter would match", "/api/v1/inventory/adjustments", "inventory:read"),
    ("a parameter after that literal", "/api/v1/inventory/adjustments/17", "inventory:read"),
    ("no parameter after a literal", "/api/v1/loyalty/17", None),
    # Dots that a host would resolve.
    ("a dot segment", "/api/v1/./products", None),
    ("a dot segment at the end", "/api/v1/products/.", None),
    ("a dot segment and a slash", "/api/v1/products/./", None),
    ("two dots", "/api/v1/sales/../products", None),
    ("two dots at the end", "/api/v1/products/..", None),
    ("two dots and a slash", "/api/v1/products/../", None),
    ("two dots at the start", "/../api/v1/products", None),
    ("two dots in place of a parameter", "/api/v1/customers/../loyalty", None),
    ("a dot in place of a parameter", "/api/v1/customers/./loyalty", None),
    ("a dot at the end and a query", "/api/v1/products/.?a=1", None),
    ("dots with a parameter of a path", "/api/v1/receipts/..;a=1", None),
    ("a dot alone", "/.", None),
    ("two dots alone", "/..", None),
    # Bytes that a host might read otherwise.
    ("a backslash", "/api/v1\\products", None),
    ("a backslash in a parameter", "/api/v1/receipts/a\\b", None),
    ("a backslash and dots", "/api/v1/receipts/..\\sales", None),
    ("a backslash at the end", "/api/v1/products\\", None),
    ("a semicolon", "/api/v1/products;v=1", None),
    ("a semicolon in a parameter", "/api/v1/receipts/17;a", None),
    ("a number sign", "/api/v1/products#top", None),
    ("a number sign in a parameter", "/api/v1/receipts/17#top", None),
    ("a space", "/api/v1/receipts/a b", None),
    ("a space at the end", "/api/v1/products ", None),
    ("a NUL", "/api/v1/receipts/17\0", None),
    ("a NUL after a literal", "/api/v1/products\0", None),
    ("a NUL and more", "/api/v1/products\0/../sales", None),
    ("a tab", "/api/v1/receipts/1\t7", None),
    ("a newline", "/api/v1/products\n", None),
    ("a carriage return", "/api/v1/receipts/17\r", None),
    ("the first control byte", "/api/v1/receipts/\x01", None),
    ("the last control byte", "/api/v1/receipts/\x1f", None),
    ("a delete byte", "/api/v1/receipts/\x7f", None),
    ("a letter that is not ASCII", "/api/v1/receipts/caf\u00e9", None),
    ("a full-width letter", "/api/v1/\uff50roducts", None),
    ("a long s in a literal", "/api/v1/product\u017f", None),
    ("a division slash", "/api/v1\u2215products", None),
    ("a one-dot leader", "/api/v1/receipts/\u2024\u2024", None),
    ("a letter beyond the BMP", "/api/v1/receipts/\U0001f511", None),
    # Percent signs.
    ("%2e", "/api/v1/receipts/%2e", None),
    ("%2E", "/api/v1/receipts/%2E", None),
    ("%2e%2e", "/api/v1/sales/%2e%2e/products", None),
    ("%2e in a name", "/api/v1/receipts/a%2eb", None),
    (".%2e", "/api/v1/sales/.%2e/products", None),
    ("%2f", "/api/v1/receipts/a%2fb", None),
    ("%2F", "/api/v1/receipts/a%2Fb", None),
    ("%2f for a slash", "/api/v1%2fproducts", None),
    ("%2f at the end", "/api/v1/products%2f", None),
    ("%5c", "/api/v1/receipts/a%5cb", None),
    ("%5C", "/api/v1/receipts/a%5Cb", None),
    ("%5c and dots", "/api/v1/receipts/..%5csales", None),
    ("%25", "/api/v1/receipts/100%25", None),
    ("%252e", "/api/v1/receipts/%252e", None),
    ("%252f", "/api/v1/receipts/a%252fb", None),
    ("%00", "/api/v1/receipts/17%00", None),
    ("%00 after a literal", "/api/v1/products%00", None),
    ("%0a", "/api/v1/receipts/%0a", None),
    ("%0D%0A", "/api/v1/receipts/17%0D%0AX-Admin:1", None),
    ("%1f", "/api/v1/receipts/%1f", None),
    ("%7f", "/api/v1/receipts/%7f", None),
    ("an encoded letter", "/api/v1/receipts/%61", None),
    ("an encoded capital", "/api/v1/receipts/%5A", None),
    ("an encoded letter of a literal", "/api/v1/%70roducts", None),
    ("an encoded digit", "/api/v1/receipts/%31", None),
    ("an encoded hyphen", "/api/v1/gift%2Dcards", None),
    ("an encoded hyphen in a parameter", "/api/v1/receipts/a%2db", None),
    ("an encoded underscore", "/api/v1/receipts/a%5fb", None),
    ("an encoded tilde", "/api/v1/receipts/%7Eb", None),
    ("a percent sign at the end", "/api/v1/receipts/17%", None),
    ("half a sequence at the end", "/api/v1/receipts/17%2", None),
    ("a percent sign before other letters", "/api/v1/receipts/%zz", None),
    ("one digit and another letter", "/api/v1/receipts/%2g", None),
    ("one letter that is no digit, and a digit", "/api/v1/receipts/%g2", None),
    ("two percent signs", "/api/v1/receipts/%%20", None),
    ("a percent sign and a space", "/api/v1/receipts/% 20", None),
    ("a sign in a sequence", "/api/v1/receipts/%+2", None),
    ("IIS' %u", "/api/v1/receipts/%u002f", None),
    ("half a sequence before a slash", "/api/v1/customers/17%2/loyalty", None),
    ("%20 in a parameter", "/api/v1/receipts/a%20b", RECEIPTS),
    ("%20 after a literal", "/api/v1/products%20", None),
    ("%20 as a parameter", "/api/v1/receipts/%20", RECEIPTS),
    ("%C3%A9 in a parameter", "/api/v1/receipts/caf%C3%A9", RECEIPTS),
    ("%c3%a9 in a parameter", "/api/v1/receipts/caf%c3%a9", RECEIPTS),
    ("%E2%82%AC in a parameter", "/api/v1/receipts/%E2%82%AC", RECEIPTS),
    ("%F0%9F%92%B6 in a parameter", "/api/v1/receipts/%F0%9F%92%B6", RECEIPTS),
    ("%FF in a parameter", "/api/v1/receipts/%FF", None),
    ("half a character", "/api/v1/receipts/%C3", None),
    ("half a character before a letter", "/api/v1/receipts/%C3a", None),
    ("the end of a character alone", "/api/v1/receipts/%A9", None),
    ("a dot in two bytes", "/api/v1/receipts/%C0%AE", None),
    ("two dots and a slash in two bytes each", "/api/v1/products/%c0%ae%c0%ae%c0%afwebhooks", None),
    ("a slash in three bytes", "/api/v1/receipts/%E0%80%AF", None),
    ("a slash in four bytes", "/api/v1/receipts/%F0%80%80%AF", None),
    ("half of a surrogate pair", "/api/v1/receipts/%ED%A0%80", None),
    ("%21 in a parameter", "/api/v1/receipts/%21", RECEIPTS),
    ("%2B in a parameter", "/api/v1/receipts/a%2Bb", RECEIPTS),
    ("%3A in a parameter", "/api/v1/receipts/a%3Ab", RECEIPTS),
    ("%3B in a parameter", "/api/v1/receipts/a%3Bb", RECEIPTS),
    ("%3F in a parameter", "/api/v1/receipts/a%3Fb", RECEIPTS),
    ("%23 in a parameter", "/api/v1/receipts/a%23b", RECEIPTS),
    ("%40 in a parameter", "/api/v1/receipts/a%40b", RECEIPTS),
    ("%5B in a parameter", "/api/v1/receipts/%5B", RECEIPTS),
    # How long.
    ("8,192 bytes", "/api/v1/receipts/" + "a" * (8192 - len("/api/v1/receipts/")), RECEIPTS),
    ("8,193 bytes", "/api/v1/receipts/" + "a" * (8193 - len("/api/v1/receipts/")), None),
]

# Some routers ignore case or cut off a suffix. What they would serve as a text beside the parameter meets none.
FOLDED = [
    ("that literal path in upper case", "/api/v1/products/BULK", None),
    ("one letter of that literal path in upper case", "/api/v1/products/bulK", None),
    ("that literal path with a suffix", "/api/v1/products/bulk.json", None),
    ("that literal path with a suffix, a slash and a query", "/api/v1/products/bulk.json/?page=2", None),
    ("that literal path with two suffixes", "/api/v1/products/bulk.tar.gz", None),
    ("that literal path with a dot", "/api/v1/products/bulk.", None),
    ("that literal path in upper case with a suffix", "/api/v1/products/Bulk.JSON", None),
    ("that literal path after a dot", "/api/v1/products/.bulk", PRODUCTS),
    ("that literal path with a hyphen and more", "/api/v1/products/bulk-json", PRODUCTS),
    ("that literal path with an encoded text", "/api/v1/products/bulk%20", PRODUCTS),
    ("that literal path as a suffix", "/api/v1/products/17.bulk", PRODUCTS),
    ("a parameter with a suffix", "/api/v1/products/17.json", PRODUCTS),
    ("that literal where none is beside the parameter", "/api/v1/customers/BULK", CUSTOMERS),
    ("another literal in another case", "/api/v1/inventory/Adjustments", None),
    ("another literal with a suffix", "/api/v1/inventory/adjustments.json", None),
    ("another literal in another case, with what is behind it", "/api/v1/inventory/Adjustments/17", None),
    ("a text behind a parameter in another case", "/api/v1/customers/17/Loyalty", None),
]

# ---------------------------------------------------------------------------------------------------------------------
# window.json
# ---------------------------------------------------------------------------------------------------------------------


def window_file():
    return vector_file(
        "The rate limit is exact: at most so many admissions in any 60 seconds, and a refusal only after as many.",
        [
            *limits_at_one_instant(),
            *edges(),
            *spread_traces(),
            *odd_clocks(),
            *what_shares_a_limit(),
            *denials_consume_nothing(),
            *random_traces(),
        ],
    )


def limits_at_one_instant():
    for limit in (1, 2, 60, 64, 65, 256, 257, 1000):
        owner = Key(f"Limit {limit}", ["products:read"], rate_limit=limit)
        yield case(f"limit {limit}: all at one instant", *calls_at_one_instant(owner, limit))
    owner = Key("Default limit", ["products:read"])
    yield case("a key without a rate_limit has 60", *calls_at_one_instant(owner, 60))


def calls_at_one_instant(owner, limit):
    """The N-th and the N+1-th; then the last microsecond of the window, and the first after it."""
    return [
        at(0, owner, "200 allowed", limit=limit, remaining=limit - 1, reset_s=61),
        *([at(0, owner, "200 allowed", times=limit - 1, remaining=0, reset_s=61)] if limit > 1 else []),
        at(0, owner, "429 rate_limited", limit=limit, remaining=0, retry_after_s=61, reset_s=61),
        at(MINUTE_US - 1, owner, "429 rate_limited", retry_after_s=1, reset_s=1),
        at(MINUTE_US, owner, "429 rate_limited", times=3, retry_after_s=1, reset_s=1),
        at(MINUTE_US + 1, owner, "200 allowed", times=limit, remaining=0, reset_s=61),
        at(MINUTE_US + 1, owner, "429 rate_limited", retry_after_s=61, reset_s=61),
    ]


def edges():
    owner = Key("Edges", ["products:read"], rate_limit=1)
    seconds_left = [
        (0, 61),
        (1, 60),
        (2, 60),
        (1_000_000, 60),
        (1_000_001, 59),
        (30_000_000, 31),
        (30_000_001, 30),
        (58_999_999, 2),
        (59_000_000, 2),
        (59_000_001, 1),
        (59_999_999, 1),
        (60_000_000, 1),
    ]
    yield case(
        "Retry-After is the whole seconds left, rounded up",
        at(0, owner, "200 allowed", reset_s=61),
        *(at(us, owner, "429 rate_limited", retry_after_s=left, reset_s=left) for us, left in seconds_left),
        at(60_000_001, owner, "200 allowed", reset_s=61),
    )


def spread_traces():
    three = Key("Spread", ["products:read"], rate_limit=3)
    yield case(
        "three a minute, spread",
        at(0, three, "200 allowed", remaining=2, reset_s=61),
        at(10_000_000, three, "200 allowed", remaining=1, reset_s=51),
        at(20_000_000, three, "200 allowed", remaining=0, reset_s=41),
        at(30_000_000, three, "429 rate_limited", retry_after_s=31),
        at(60_000_000, three, "429 rate_limited", retry_after_s=1),
        at(60_000_001, three, "200 allowed", remaining=0, reset_s=10),
        at(70_000_000, three, "429 rate_limited", retry_after_s=1),
        at(70_000_001, three, "200 allowed", remaining=0, reset_s=10),
        at(130_000_000, three, "200 allowed", remaining=1, reset_s=1),
        at(130_000_001, three, "200 allowed", remaining=0, reset_s=1),
        at(130_000_002, three, "200 allowed", remaining=0, reset_s=60),
        at(130_000_002, three, "429 rate_limited", retry_after_s=60),
    )
    sixty = Key("Minute's end", ["products:read"], rate_limit=60)
    boundary_us = 20 * SECOND_US  # START_US + 20 s is a whole number of minutes
    yield case(
        "a full limit before the minute's end leaves none after it",
        at(boundary_us - 1, sixty, "200 allowed", times=60, remaining=0, reset_s=61),
        at(boundary_us, sixty, "429 rate_limited", times=60, retry_after_s=60),
        at(boundary_us + SECOND_US, sixty, "429 rate_limited", retry_after_s=59),
        at(boundary_us + MINUTE_US - 1, sixty, "429 rate_limited", retry_after_s=1),
        at(boundary_us + MINUTE_US, sixty, "200 allowed", times=60, remaining=0, reset_s=61),
    )
    halves = Key("Halves", ["products:read"], rate_limit=60)
    yield case(
        "two halves leave the window one after the other",
        at(0, halves, "200 allowed", times=30, remaining=30, reset_s=61),
        at(50_000_000, halves, "200 allowed", times=30, remaining=0, reset_s=11),
        at(60_000_000, halves, "429 rate_limited", retry_after_s=1),
        at(60_000_001, halves, "200 allowed", times=30, remaining=0, reset_s=50),
        at(60_000_001, halves, "429 rate_limited", retry_after_s=50),
        at(110_000_001, halves, "200 allowed", times=30, remaining=0, reset_s=11),
        at(110_000_001, halves, "429 rate_limited", retry_after_s=11),
    )
    steady = Key("Steady", ["products:read"], rate_limit=2)
    yield case(
        "just over half a minute apart, two a minute never run out",
        *(at(turn * 30_000_001, steady, "200 allowed", remaining=0 if turn else 1) for turn in range(12)),
    )
    idle = Key("Idle", ["products:read"], rate_limit=2)
    yield case(
        "an idle year gives no more than the limit",
        at(0, idle, "200 allowed", times=2, remaining=0),
        at(365 * 86400 * SECOND_US, idle, "200 allowed", times=2, remaining=0, reset_s=61),
        at(365 * 86400 * SECOND_US, idle, "429 rate_limited", retry_after_s=61),
    )


def odd_clocks():
    back = Key("Back", ["products:read"], rate_limit=2)
    yield case(
        "a clock that goes back counts as one that stands still",
        at(100_000_000, back, "200 allowed", remaining=1, reset_s=61),
        at(50_000_000, back, "200 allowed", remaining=0, reset_s=61),
        at(50_000_000, back, "429 rate_limited", retry_after_s=61),
        at(0, back, "429 rate_limited", retry_after_s=61),
        at(100_000_000, back, "429 rate_limited", retry_after_s=61),
        at(130_000_000, back, "429 rate_limited", retry_after_s=31),
        at(160_000_000, back, "429 rate_limited", retry_after_s=1),
        at(160_000_001, back, "200 allowed", remaining=1, reset_s=61),
    )
    amid = Key("Back amid", ["products:read"], rate_limit=3)
    yield case(
        "a clock that goes back in the midst of a window",
        at(10_000_000, amid, "200 allowed", remaining=2, reset_s=61),
        at(20_000_000, amid, "200 allowed", remaining=1, reset_s=51),
        at(15_000_000, amid, "200 allowed", remaining=0, reset_s=51),
        at(70_000_000, amid, "429 rate_limited", retry_after_s=1),
        at(70_000_001, amid, "200 allowed", remaining=0, reset_s=10),
        at(80_000_000, amid, "429 rate_limited", retry_after_s=1),
        at(80_000_001, amid, "200 allowed", remaining=1, reset_s=51),
    )
    denied = Key("Back after denial", ["products:read"], rate_limit=1)
    yield case(
        "a denial does not move the clock",
        at(0, denied, "200 allowed"),
        at(50_000_000, denied, "429 rate_limited", retry_after_s=11),
        at(20_000_000, denied, "429 rate_limited", retry_after_s=41),
        at(60_000_001, denied, "200 allowed"),
    )
    for name, start_us in (("zero", 0), ("one microsecond", 1), ("five years", 157_680_000_000_000)):
        owner = Key("From " + name, ["products:read"], rate_limit=1)
        yield case(
            f"a monotonic clock that reads {name}",
            call(owner, "200 allowed", us=start_us, reset_s=61),
            call(owner, "429 rate_limited", us=start_us, retry_after_s=61),
            call(owner, "429 rate_limited", us=start_us + MINUTE_US, retry_after_s=1),
            call(owner, "200 allowed", us=start_us + MINUTE_US + 1),
        )
    jumps = Key("Jumps", ["products:read"], rate_limit=1)
    fifty_years_ms = 50 * 365 * 86_400_000
    yield case(
        "the wall clock does not touch the rate limit",
        call(jumps, "200 allowed", us=START_US),
        call(jumps, "429 rate_limited", us=START_US, ms=NOW_MS + 61_000, retry_after_s=61),
        call(jumps, "429 rate_limited", us=START_US, ms=NOW_MS + fifty_years_ms, retry_after_s=61),
        call(jumps, "429 rate_limited", us=START_US + MINUTE_US, ms=NOW_MS - fifty_years_ms, retry_after_s=1),
        call(jumps, "200 allowed", us=START_US + MINUTE_US + 1, ms=-fifty_years_ms),
        call(jumps, "429 rate_limited", us=START_US + MINUTE_US + 1, ms=NOW_MS, retry_after_s=61),
    )


def what_shares_a_limit():
    rotated = Key("Rotated", ["products:read"], rate_limit=3, grace_until=LATER)
    yield case(
        "the old and the new secret of a rotated key share one limit",
        at(0, rotated.old_secret, "200 allowed", remaining=2),
        at(1, rotated, "200 allowed", remaining=1),
        at(2, rotated.old_secret, "200 allowed", remaining=0),
        at(3, rotated, "429 rate_limited", retry_after_s=60),
        at(3, rotated.old_secret, "429 rate_limited", retry_after_s=60),
        at(MINUTE_US + 1, rotated, "200 allowed", remaining=0),
        at(MINUTE_US + 1, rotated.old_secret, "429 rate_limited", retry_after_s=1),
    )
    whole = Key("Whole", ["customers:write", "webhooks:manage"], rate_limit=6)
    yield case(
        "a key has one limit, whatever it asks for",
        at(0, whole, "200 allowed", remaining=5, target="/api/v1/customers"),
        at(0, whole, "200 allowed", remaining=4, method="HEAD", target="/api/v1/customers/17"),
        at(0, whole, "200 allowed", remaining=3, method="POST", target="/api/v1/customers"),
        at(0, whole, "200 allowed", remaining=2, scope="webhooks:manage"),
        at(0, whole, "200 allowed", remaining=1, store=None, scope="customers:read"),
        at(0, whole, "200 allowed", remaining=0, method="DELETE", target="/api/v1/webhooks/17"),
        at(0, whole, "429 rate_limited", scope="customers:read", required_scope="customers:read"),
        at(0, whole, "429 rate_limited", target="/api/v1/customers", required_scope="customers:read"),
    )
    one, other = Key("One", ["products:read"], rate_limit=1), Key("Other", ["products:read"], rate_limit=2)
    yield case(
        "two keys of one store have a limit each",
        at(0, one, "200 allowed", limit=1, remaining=0),
        at(0, other, "200 allowed", limit=2, remaining=1),
        at(0, one, "429 rate_limited", limit=1),
        at(0, other, "200 allowed", limit=2, remaining=0),
        at(0, other, "429 rate_limited", limit=2),
        at(MINUTE_US + 1, one, "200 allowed", remaining=0),
        at(MINUTE_US + 1, other, "200 allowed", remaining=1),
    )
    tester = Key("Limited tester", ["products:read"], rate_limit=1, test_mode=True)
    yield case(
        "a key in test mode has its limit too",
        at(0, tester, "200 allowed", remaining=0, test_mode=True),
        at(0, tester, "429 rate_limited", retry_after_s=61, test_mode=True),
    )


def denials_consume_nothing():
    owner = Key("Denials", ["products:write"], rate_limit=5, test_mode=True, grace_until="2026-09-01T00:00:00Z")
    revoked = Key("Revoked", ["products:read"], revoked_at="2026-09-01T00:00:00Z")
    disabled = Key("Disabled", ["products:read"], enabled=False)
    denials = [
        (owner, "401 key_in_url", {"target": "/api/v1/products?key=" + owner.secret}),
        (None, "401 missing_key", {}),
        (owner.secret + " ", "401 malformed_key", {}),
        (owner.secret + "0", "401 unknown_key", {}),
        (revoked, "401 revoked_key", {}),
        (disabled, "401 disabled_key", {}),
        (owner.old_secret, "401 expired_key", {}),
        (owner, "401 wrong_store", {"store": "otherstore"}),
        (owner, "403 unmapped_route", {"target": "/api/v1/nothing"}),
        (owner, "403 insufficient_scope", {"target": "/api/v1/sales"}),
        (owner, "403 test_mode", {"method": "PATCH", "target": "/api/v1/products/bulk"}),
    ]
    for key, says, request in denials:
        yield case(
            f"{says}: consumes nothing, and is said also when the limit is used up",
            at(0, key, says, times=20, **request),
            at(1, owner, "200 allowed", limit=5, remaining=4, reset_s=61),
            at(2, key, says, times=20, **request),
            at(3, owner, "200 allowed", times=4, remaining=0),
            at(4, key, says, **request),
            at(5, owner, "429 rate_limited", retry_after_s=60),
        )
    every_denial = [at(0, key, says, **request) for key, says, request in denials]
    interleaved = []
    for remaining in (4, 3, 2, 1, 0):
        interleaved += [*every_denial, at(0, owner, "200 allowed", remaining=remaining, reset_s=61)]
    yield case("every denial between the admissions of a full limit", *interleaved, at(0, owner, "429 rate_limited"))
    flood = [
        at(second * SECOND_US, owner, "429 rate_limited", times=10, retry_after_s=61 - second)
        for second in range(0, 61, 5)
    ]
    yield case(
        "429s put nothing off: the window opens when it would have",
        at(0, owner, "200 allowed", times=5, remaining=0),
        *flood,
        at(MINUTE_US + 1, owner, "200 allowed", times=5, remaining=0, reset_s=61),
    )


def random_traces():
    """Nothing is written by hand here: the model, a plain list of timestamps, is the oracle."""
    steps_us = (0, 0, 1, 2, 999_999, SECOND_US, 5 * SECOND_US, 19_999_999, 20 * SECOND_US, MINUTE_US, MINUTE_US + 1, -7)
    for limit in (1, 3, 8):
        owner = Key(f"Trace {limit}", ["products:read"], rate_limit=limit)
        numbers, us, calls = random_numbers(limit), 0, []
        for _ in range(50):
            us = max(0, us + steps_us[next(numbers) % len(steps_us)])
            calls.append(at(us, owner, None))
        yield case(f"a random trace with limit {limit}", *calls)


def random_numbers(seed):
    """Numbers that are the same everywhere and for ever (SHA-256 of a counter)."""
    for counter in range(sys.maxsize):
        yield int.from_bytes(hashlib.sha256(f"{seed}/{counter}".encode()).digest()[:4], "big")


def at(us, key, says, **more):
    """A call `us` microseconds after the start, on both clocks."""
    return call(key, says, us=START_US + us, ms=NOW_MS + us // 1000, **more)


# ---------------------------------------------------------------------------------------------------------------------
# stores.json
# ---------------------------------------------------------------------------------------------------------------------

LONG_STORE = "s" * 63  # the longest name that a decision can carry
STORES = ["yourstore", "yourstore2", "your", "YourStore", "otherstore", "0", LONG_STORE]


def stores_file():
    owners = [Key("Key of " + store[:20], ["products:read"], store=store, rate_limit=1000) for store in STORES]
    near_misses = [
        " yourstore",
        "yourstore ",
        "yourstore/",
        "yourstore\n",
        "yourstore\0",
        "yourstore\0x",
        "yourstore\u200b",
        "yourstor",
        "ourstore",
        "YOURSTORE",
        "Yourstore",
        "yourst\u00f6re",
        "\uff59ourstore",
        "*",
        "null",
        " ",
        "\0",
        "00",
        "s" * 62,
        "s" * 64,
        "s" * 300,
    ]
    cases = []
    for owner in owners:
        own = owner.record["store"]
        cases.append(
            case(
                f"a key of {own}, on every store",
                call(owner, "200 allowed", store=None, store_=own),
                call(owner, "401 wrong_store", store="", store_=own),
                *(call(owner, says_store(own == named), store=named, store_=own) for named in STORES),
            )
        )
        cases.append(
            case(
                f"a key of {own}, where the host names the scope",
                call(owner, "200 allowed", store=None, scope="products:read", store_=own),
                call(owner, "401 wrong_store", store="", scope="products:read", store_=own),
                *(call(owner, says_store(own == named), store=named, scope="products:read") for named in STORES),
            )
        )
    for owner in (owners[0], owners[-1]):
        misses = [call(owner, "401 wrong_store", store=named) for named in near_misses]
        cases.append(case(f"a key of {owner.record['store']}, on what is nearly a store", *misses))
    about = "A key works on its own store and on no other, and a caller cannot tell which stores exist."
    return vector_file(about, cases)


def says_store(own):
    return "200 allowed" if own else "401 wrong_store"


# ---------------------------------------------------------------------------------------------------------------------
# policy.json
# ---------------------------------------------------------------------------------------------------------------------

HOST_POLICY = {
    "scopes": [
        {"name": "orders:admin", "includes": ["orders:write", "reports:run"]},  # before what it includes
        {"name": "orders:read"},
        {"name": "orders:write", "includes": ["orders:read"], "writes": True},
        {"name": "orders:readonly"},  # writes: its name does not end in ":read"
        {"name": "preorders:read"},
        {"name": "reports:run", "writes": False},
        {"name": "ledger:read", "writes": True},  # reading it stamps it
        {"name": "kitchen:display"},
        {"name": "kitchen:chef", "includes": ["kitchen:display", "orders:read"]},
        {"name": "everything:manage", "includes": ["orders:admin", "kitchen:chef", "ledger:read"]},
    ],
    "routes": [
        {"method": "GET", "path": "/api/v1/orders", "scope": "orders:read"},
        {"method": "POST", "path": "/api/v1/orders", "scope": "orders:write"},
        {"method": "GET", "path": "/api/v1/orders/{id}", "scope": "orders:read"},
        {"method": "PUT", "path": "/api/v1/orders/{id}", "scope": "orders:write"},
        {"method": "DELETE", "path": "/api/v1/orders/{id}", "scope": "orders:admin"},
        {"method": "POST", "path": "/api/v1/orders/search", "scope": "orders:read", "writes": False},
        {"method": "POST", "path": "/api/v1/orders/archive", "scope": "orders:read"},
        {"method": "GET", "path": "/api/v1/orders/latest", "scope": "orders:readonly"},
        {"method": "GET", "path": "/api/v1/orders/all:export", "scope": "orders:admin"},
        {"method": "GET", "path": "/api/v1/orders/latest.csv", "scope": "reports:run"},
        {"method": "GET", "path": "/api/v1/orders/caf%C3%A9", "scope": "orders:admin"},
        {"method": "GET", "path": "/stores/{store}/orders/{order}/items/{item}", "scope": "orders:read"},
        {"method": "PATCH", "path": "/stores/{store}/orders/{order}/items/{item}", "scope": "orders:write"},
        {"method": "GET", "path": "/stores/all/orders/{order}/items/export", "scope": "orders:admin"},
        {"method": "POST", "path": "/reports/preview", "scope": "reports:run", "writes": False},
        {"method": "POST", "path": "/reports/run", "scope": "reports:run"},
        {"method": "GET", "path": "/preorders", "scope": "preorders:read"},
        {"method": "GET", "path": "/ledger", "scope": "ledger:read"},
        {"method": "GET", "path": "/kitchen/tickets", "scope": "kitchen:display"},
        {"method": "GET", "path": "/kitchen/tickets/next", "scope": "kitchen:display", "writes": True},
        {"method": "PUT", "path": "/kitchen/screen", "scope": "kitchen:display", "writes": False},
    ],
}

# What each scope of the host grants, by hand.
HOST_GRANTS = {
    "orders:admin": {"orders:admin", "orders:write", "orders:read", "reports:run"},
    "orders:read": {"orders:read"},
    "orders:write": {"orders:write", "orders:read"},
    "orders:readonly": {"orders:readonly"},
    "preorders:read": {"preorders:read"},
    "reports:run": {"reports:run"},
    "ledger:read": {"ledger:read"},
    "kitchen:display": {"kitchen:display"},
    "kitchen:chef": {"kitchen:chef", "kitchen:display", "orders:read"},
    "everything:manage": {
        "everything:manage",
        "orders:admin",
        "orders:write",
        "orders:read",
        "reports:run",
        "kitchen:chef",
        "kitchen:display",
        "ledger:read",
    },
}
HOST_WRITE_SCOPES = {
    "orders:admin",
    "orders:write",
    "orders:readonly",
    "ledger:read",
    "kitchen:display",
    "kitchen:chef",
    "everything:manage",
}

# (method, target, the scope that it needs or None, whether it writes), by hand.
HOST_REQUESTS = [
    ("GET", "/api/v1/orders", "orders:read", False),
    ("HEAD", "/api/v1/orders", "orders:read", False),
    ("POST", "/api/v1/orders", "orders:write", True),
    ("GET", "/api/v1/orders/17", "orders:read", False),
    ("PUT", "/api/v1/orders/17", "orders:write", True),
    ("DELETE", "/api/v1/orders/17", "orders:admin", True),
    ("DELETE", "/api/v1/orders/17/", "orders:admin", True),
    ("PATCH", "/api/v1/orders/17", None, None),
    ("POST", "/api/v1/orders/17", None, None),
    ("POST", "/api/v1/orders/search", "orders:read", False),
    ("POST", "/api/v1/orders/search/", "orders:read", False),
    ("POST", "/api/v1/orders/search?q=tea", "orders:read", False),
    ("GET", "/api/v1/orders/search", None, None),
    ("HEAD", "/api/v1/orders/search", None, None),
    ("PUT", "/api/v1/orders/search", None, None),
    ("DELETE", "/api/v1/orders/search", None, None),
    ("GET", "/api/v1/orders/searches", "orders:read", False),
    ("POST", "/api/v1/orders/archive", "orders:read", True),
    ("GET", "/api/v1/orders/archive", None, None),
    ("GET", "/api/v1/orders/latest", "orders:readonly", False),
    ("HEAD", "/api/v1/orders/latest", "orders:readonly", False),
    ("PUT", "/api/v1/orders/latest", None, None),
    ("DELETE", "/api/v1/orders/latest", None, None),
    # A router that ignores case, or cuts off a suffix, serves the text. A text of the policy is that text.
    ("GET", "/api/v1/orders/Search", None, None),
    ("POST", "/api/v1/orders/Search", None, None),
    ("DELETE", "/api/v1/orders/LATEST", None, None),
    ("GET", "/api/v1/orders/latest.json", None, None),
    ("GET", "/api/v1/orders/latest.csv", "reports:run", False),
    ("GET", "/api/v1/orders/latest.csv/", "reports:run", False),
    ("GET", "/api/v1/orders/latest.CSV", None, None),
    ("GET", "/api/v1/orders/latest.csv.gz", None, None),
    ("GET", "/api/v1/orders/latest-csv", "orders:read", False),
    ("GET", "/api/v1/orders/All:export", None, None),
    ("GET", "/api/v1/orders/All%3Aexport", None, None),
    ("GET", "/api/v1/orders/all%3Aexport.json", None, None),
    ("GET", "/api/v1/orders/CAF%C3%A9", None, None),
    ("GET", "/api/v1/orders/caf%C3%A9.json", None, None),
    # The same where more segments follow, and below a text that the path has.
    ("GET", "/stores/all/orders/b/items/export", "orders:admin", False),
    ("GET", "/stores/all/orders/b/items/c", "orders:read", False),
    ("GET", "/stores/all/orders/export/items/c", "orders:read", False),
    ("GET", "/stores/all/orders/b/items/EXPORT", None, None),
    ("GET", "/stores/all/orders/b/items/export.json", None, None),
    ("GET", "/stores/ALL/orders/b/items/export", None, None),
    ("GET", "/stores/ALL/orders/b/items/c", None, None),
    ("GET", "/stores/a/orders/b/items/EXPORT", "orders:read", False),
    # A router that decodes a segment first serves the text, whatever its spelling.
    ("GET", "/api/v1/orders/all:export", "orders:admin", False),
    ("GET", "/api/v1/orders/all%3Aexport", None, None),
    ("HEAD", "/api/v1/orders/all%3aexport/", None, None),
    ("DELETE", "/api/v1/orders/all%3Aexport", None, None),
    ("GET", "/api/v1/orders/all%3Aexports", "orders:read", False),
    ("GET", "/api/v1/orders/caf%C3%A9", "orders:admin", False),
    ("GET", "/api/v1/orders/caf%c3%a9", None, None),
    ("GET", "/stores/a/orders/caf%C3%a9/items/c", None, None),
    ("GET", "/stores/a/orders/caf%C3%A8/items/c", "orders:read", False),
    ("GET", "/stores/a/orders/b/items/c", "orders:read", False),
    ("HEAD", "/stores/a/orders/b/items/c/", "orders:read", False),
    ("PATCH", "/stores/stores/orders/orders/items/items", "orders:write", True),
    ("DELETE", "/stores/a/orders/b/items/c", None, None),
    ("GET", "/stores/a/orders/b/items", None, None),
    ("GET", "/stores/a/orders/b/items/c/d", None, None),
    ("GET", "/stores/a/orders//items/c", None, None),
    ("GET", "/stores/a/orders/../items/c", None, None),
    ("GET", "/stores/a/orders/b%2fc/items/d", None, None),
    ("POST", "/reports/preview", "reports:run", False),
    ("POST", "/reports/run", "reports:run", True),
    ("GET", "/reports/run", None, None),
    ("GET", "/preorders", "preorders:read", False),
    ("GET", "/ledger", "ledger:read", False),
    ("GET", "/kitchen/tickets", "kitchen:display", False),
    ("GET", "/kitchen/tickets/next", "kitchen:display", True),
    ("HEAD", "/kitchen/tickets/next", "kitchen:display", True),
    ("PUT", "/kitchen/screen", "kitchen:display", False),
    ("GET", "/kitchen/screen", None, None),
    ("GET", "/api/v1/products", None, None),  # the built-in policy is replaced, not extended
    ("GET", "/api/v1/webhooks", None, None),
]


def policy_file():
    cases = []
    for held, granted in HOST_GRANTS.items():
        for test_mode in (False, True):
            mode = "test mode" if test_mode else "live"
            owner = Key(f"{mode}, {held}: every scope", [held], test_mode=test_mode, rate_limit=1000)
            asked = [
                call(owner, says_mode(test_mode, needed in granted, needed in HOST_WRITE_SCOPES), scope=needed)
                for needed in HOST_GRANTS
            ]
            cases.append(case(owner.record["name"], *asked))
    every_scope = list(HOST_GRANTS)
    for held, test_mode in (
        (every_scope, False),
        (every_scope, True),
        (["orders:admin"], False),
        (["orders:read"], True),
        (["kitchen:display", "reports:run"], True),
    ):
        title = "all scopes" if held == every_scope else " + ".join(held)
        mode = "test mode" if test_mode else "live"
        owner = Key(f"{mode}, {title}: every route", held, test_mode=test_mode, rate_limit=1000)
        granted = set().union(*(HOST_GRANTS[scope] for scope in held))
        cases.append(case(owner.record["name"], *(host_routed(owner, granted, *row) for row in HOST_REQUESTS)))
    about = "A host's own policy: scopes that include others at any depth, and routes that say whether they write."
    return vector_file(about, cases, policy=HOST_POLICY)


def host_routed(owner, granted, method, target, needed, writes):
    says = says_mode(owner.record["test_mode"], needed in granted, writes) if needed else "403 unmapped_route"
    return call(owner, says, method=method, target=target, required_scope=needed or "")


FILES = {
    "decision.json": decision_file,
    "scopes.json": scopes_file,
    "test_mode.json": test_mode_file,
    "expiry.json": expiry_file,
    "key_format.json": key_format_file,
    "key_in_url.json": key_in_url_file,
    "paths.json": paths_file,
    "window.json": window_file,
    "stores.json": stores_file,
    "policy.json": policy_file,
}

# ---------------------------------------------------------------------------------------------------------------------
# Keys, calls, cases and files
# ---------------------------------------------------------------------------------------------------------------------

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Key:
    """A made-up key: its secret, and its record in the document. The same label gives the same key."""

    def __init__(self, label, scopes, store="yourstore", secret=None, grace_until=None, **members):
        self.secret = new_secret(label) if secret is None else secret
        self.id = "key_" + base62("id of " + label, 20)
        self.record = {
            "id": self.id,
            "name": label,
            "store": store,
            "sha256": sha256(self.secret),
            "hint": "bpos_" + self.secret[5:9].ljust(4, "0"),
            "scopes": list(scopes),
            "created_at": "2026-01-01T00:00:00Z",
            **members,
        }
        if grace_until is not None:
            self.old_secret = OldSecret(self, new_secret("old " + label))
            self.record["retiring"] = {"sha256": sha256(self.old_secret.secret), "until": grace_until}


class OldSecret:
    """The rotated-out secret of a key."""

    def __init__(self, owner, secret):
        self.owner = owner
        self.secret = secret


class NotSent:
    """Stands among the calls of a case for a key that the document holds and no call sends."""

    def __init__(self, owner):
        self.owner = owner


class Call:
    """A request, and what the table says of its decision by hand."""

    def __init__(self, owner, request, says):
        self.owner = owner
        self.request = request
        self.says = says


def call(key, says, *, method="GET", target="/api/v1/products", scope=None, store="yourstore", ms=NOW_MS, us=START_US,
         times=1, store_=None, **expected):
    """A call with `key`: a Key, an OldSecret, or the bytes or text to send (None: no key at all).

    `says` is the status and the reason, like "200 allowed"; None leaves both to the model. Other fields of the
    expectation may follow by name, to be checked against the model too (`store_` is the expected store).
    """
    owner, sent = None, key
    if isinstance(key, Key):
        owner, sent = key, key.secret
    elif isinstance(key, OldSecret):
        owner, sent = key.owner, key.secret
    request = {"unix_ms": ms, "monotonic_us": us, **key_members(sent), "store": store}
    request.update({"scope": scope} if scope else {"method": method, "target": target})
    if times != 1:
        request["times"] = times
    if says is not None:
        status, reason = says.split()
        expected.update(status=int(status), reason=reason)
    if store_ is not None:
        expected["store"] = store_
    return Call(owner, request, expected)


def key_members(sent):
    if isinstance(sent, bytes):
        try:
            sent = sent.decode("utf-8")
        except UnicodeDecodeError:
            return {"key_hex": sent.hex()}
    return {"key": sent}


def case(name, *calls):
    return name, calls


def vector_file(about, cases, policy=None):
    cases = list(cases)
    document = {"version": 1, "revision": 1, "keys": records_of(cases)}
    written = {"about": about}
    if policy is not None:
        written["policy"] = policy
    written["registry"] = document
    written["cases"] = [expected_case(name, calls, document, policy or BUILT_IN_POLICY) for name, calls in cases]
    names = [name for name, _ in cases]
    repeated = {name for name in names if names.count(name) > 1}
    assert not repeated, f"two cases have one name: {repeated}"
    return written


def records_of(cases):
    records = {}
    for _, calls in cases:
        for each in calls:
            if each.owner is not None:
                record = each.owner.record
                assert records.setdefault(record["id"], record) == record, f"two keys are called {record['name']!r}"
    return list(records.values())


def expected_case(name, calls, document, policy):
    """The case as it is written: the model decides each call, and must agree with what the table says."""
    model = Model(document["keys"], policy)
    written = []
    for each in calls:
        if isinstance(each, NotSent):
            continue
        for _ in range(each.request.get("times", 1)):
            decision = model.decide(each.request)
            for field in ("status", "reason"):
                said = each.says.setdefault(field, decision[field])
                assert decision[field] == said, f"{name}: {each.request}: says {said}, model {decision[field]}"
        for field, said in each.says.items():
            assert decision[field] == said, f"{name}: {each.request}: {field}: says {said}, model {decision[field]}"
        written.append({**each.request, "expect": decision})
    return {"name": name, "calls": written}


def render(written):
    """JSON with a line for each key, scope, route and call."""
    lines = ["{", f'"about": {line(written["about"])},']
    if "policy" in written:
        policy = written["policy"]
        lines += ['"policy": {"scopes": [', *rows(policy["scopes"]), '], "routes": [', *rows(policy["routes"]), "]},"]
    document = written["registry"]
    lines.append(f'"registry": {{"version": {document["version"]}, "revision": {document["revision"]}, "keys": [')
    lines += [*rows(document["keys"]), "]},", '"cases": [']
    for index, each in enumerate(written["cases"]):
        end = "]}," if index + 1 < len(written["cases"]) else "]}"
        lines += [f'{{"name": {line(each["name"])}, "calls": [', *rows(each["calls"]), end]
    text = "\n".join([*lines, "]", "}"]) + "\n"
    assert json.loads(text) == written
    return text


def rows(values):
    return [line(value) + ("," if index + 1 < len(values) else "") for index, value in enumerate(values)]


def line(value):
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def all_pairs(values):
    return [(first, second) for index, first in enumerate(values) for second in values[index + 1:]]


def new_secret(label):
    """A key of the library's own form: 30 characters, and their CRC-32 in base62 as 6 more."""
    body = base62("secret of " + label, 30)
    rest, checksum = zlib.crc32(body.encode()), ""
    while rest:
        rest, digit = divmod(rest, 62)
        checksum = BASE62[digit] + checksum
    return "bpos_" + body + checksum.rjust(6, "0")


def base62(seed, length):
    return "".join(BASE62[byte % 62] for byte in hashlib.shake_256(seed.encode()).digest(length))


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# The model: the decision, as plainly as it can be written
# ---------------------------------------------------------------------------------------------------------------------

UNRESERVED = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~"
LONGEST_PATH = 8192

DETAILS = {
    "key_in_url": "An API key must not be sent in the URL. Send it in the X-API-Key header, and replace this key: "
    "it may have been logged.",
    "missing_key": "Send an API key in the X-API-Key header.",
    "invalid_key": "The API key is not valid.",
    "revoked_key": "The API key has been revoked.",
    "disabled_key": "The API key is disabled.",
    "expired_key": "The API key has expired.",
    "unmapped_route": "No scope grants access to this endpoint.",
    "insufficient_scope": "The API key lacks the scope that this endpoint needs.",
    "test_mode": "The API key is in test mode and can only read.",
    "rate_limited": "The API key's rate limit is used up.",
}
TITLES = {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}


class Model:
    """A registry of keys, each with the plain list of the times at which it was admitted."""

    def __init__(self, records, policy):
        self.records = records
        self.policy = policy
        self.admitted = {record["id"]: [] for record in records}

    def decide(self, request):
        path, _, query = request.get("target", "").encode().partition(b"?")
        # A key may begin anywhere, also where one who decodes from the start sees the end of a percent-encoding.
        longest = 3 * len("bpos_0123456789abcdef")
        begins = (percent_decoded(query[start:start + longest]) for start in range(len(query)))
        if any(re.match(rb"bpos_[0-9A-Za-z]{16}", text) for text in begins):
            return answer("key_in_url")

        key = bytes.fromhex(request["key_hex"]) if "key_hex" in request else (request["key"] or "").encode()
        if key == b"":
            return answer("missing_key")
        if not re.fullmatch(rb"bpos_[0-9A-Za-z]{16,123}", key):
            return answer("malformed_key")

        record, ends_at = self.find(hashlib.sha256(key).hexdigest())
        if record is None:
            return answer("unknown_key")
        if record.get("revoked_at") is not None:
            return answer("revoked_key", record)
        if not record.get("enabled", True):
            return answer("disabled_key", record)
        if any(request["unix_ms"] >= unix_ms(end) for end in ends_at):
            return answer("expired_key", record)
        if request["store"] is not None and request["store"] != record["store"]:
            return answer("wrong_store", record)

        scope, writes = self.needs(request, path)
        if scope is None:
            return answer("unmapped_route", record)
        if scope not in self.granted_by(record["scopes"]):
            return answer("insufficient_scope", record, scope)
        if record.get("test_mode", False) and writes:
            return answer("test_mode", record, scope)
        return self.admit(record, scope, request["monotonic_us"])

    def find(self, digest):
        """The record whose digest this is, and the dates from which on this secret of it is expired."""
        for record in self.records:
            expiry = [record["expires_at"]] if record.get("expires_at") is not None else []
            if record["sha256"] == digest:
                return record, expiry
            if "retiring" in record and record["retiring"]["sha256"] == digest:
                return record, [*expiry, record["retiring"]["until"]]
        return None, []

    def needs(self, request, path):
        """The scope that the request needs (None: it has no route), and whether it writes."""
        if "scope" in request:
            for scope in self.policy["scopes"]:
                if scope["name"] == request["scope"]:
                    return scope["name"], scope.get("writes", not scope["name"].endswith(":read"))
            raise ValueError(f"no such scope: {request['scope']}")

        if not is_plain(path) or names_otherwise(path, self.policy["routes"]):
            return None, False
        ways = [(way(path, route["path"]), route) for route in self.policy["routes"]]
        first = min((steps for steps, _ in ways if steps is not None), default=None)
        if first is None or FOLDED_TEXT in first:
            return None, False
        matching = [route for steps, route in ways if steps == first]
        for route in matching:
            if request["method"] == route["method"] or (request["method"] == "HEAD" and route["method"] == "GET"):
                return route["scope"], route.get("writes", route["method"] not in ("GET", "HEAD"))
        return None, False

    def granted_by(self, names):
        """The scopes of these names, and all that they include, to any depth."""
        granted = set(names)
        while True:
            more = set(granted)
            for scope in self.policy["scopes"]:
                if scope["name"] in granted:
                    more |= set(scope.get("includes", []))
            if more == granted:
                return granted
            granted = more

    def admit(self, record, scope, now_us):
        """Admits the request unless as many as the limit were admitted in the 60 seconds before it."""
        limit = record.get("rate_limit", 60)
        admitted = self.admitted[record["id"]]
        t = max([now_us, *admitted])
        counted = [each for each in admitted if t - each <= MINUTE_US]
        if len(counted) >= limit:
            wait_s = seconds(min(counted) + MINUTE_US + 1 - t)
            return answer("rate_limited", record, scope, limit=limit, retry_after_s=wait_s, reset_s=wait_s)
        admitted.append(t)
        counted.append(t)
        reset_s = seconds(min(counted) + MINUTE_US + 1 - t)
        return answer("allowed", record, scope, limit=limit, remaining=limit - len(counted), reset_s=reset_s)


def answer(reason, record=None, scope="", limit=0, remaining=0, retry_after_s=0, reset_s=0):
    """The decision as every language's runner sees it. Without a record, the secret was not proved."""
    status = STATUS[reason]
    return {
        "status": status,
        "reason": reason,
        "required_scope": scope,
        "limit": limit,
        "remaining": remaining,
        "retry_after_s": retry_after_s,
        "reset_s": reset_s,
        "test_mode": record.get("test_mode", False) if record else False,
        "key_id": record["id"] if record else "",
        "store": record["store"] if record else "",
        "headers": headers(status, limit, remaining, retry_after_s, reset_s),
        "body": body(status, reason, scope, retry_after_s),
    }


def headers(status, limit, remaining, retry_after_s, reset_s):
    fields = []
    if status == 401:
        fields.append('WWW-Authenticate: ApiKey realm="bpos"')
    if status == 429:
        fields.append(f"Retry-After: {retry_after_s}")
    if status in (200, 429):
        fields.append(f'RateLimit-Policy: "default";q={limit};w=60')
        fields.append(f'RateLimit: "default";r={remaining};t={reset_s}')
    if status != 200:
        fields.append("Content-Type: application/problem+json")
    return fields


def body(status, reason, scope, retry_after_s):
    if status == 200:
        return None
    code = "invalid_key" if reason in ("malformed_key", "unknown_key", "wrong_store") else reason
    members = {"type": "about:blank", "title": TITLES[status], "status": status, "detail": DETAILS[code], "code": code}
    if status == 403 and scope:
        members["required_scope"] = scope
    if status == 429:
        members["retry_after"] = retry_after_s
    return members


# How a segment of a path meets one of a route: what is tried first is less.
TEXT, FOLDED_TEXT, PARAMETER = range(3)
LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def way(path, template):
    """How a path meets the segments of a route: all of them, or those up to a text that only some routers would see
    there. None: not at all."""
    segments, wanted = path.removesuffix(b"/").split(b"/"), template.encode().split(b"/")
    steps = []
    for segment, want in zip(segments, wanted):
        if want.startswith(b"{"):
            if segment == b"":
                return None
            steps.append(PARAMETER)
        elif segment == want:
            steps.append(TEXT)
        elif want and f"{lower(segment)}.".startswith(f"{lower(want)}."):
            return [*steps, FOLDED_TEXT]
        else:
            return None
    return steps if len(segments) == len(wanted) else None


def lower(segment):
    return percent_decoded(segment).decode("latin-1").translate(LOWER)


def names_otherwise(path, routes):
    """Whether a router that decodes would see a text of a route where this path has something else."""
    texts = {text for route in routes for text in route["path"].encode().split(b"/") if not text.startswith(b"{")}
    return any(
        segment != text and percent_decoded(segment) == percent_decoded(text)
        for segment in path.split(b"/")
        for text in texts
    )


def is_plain(path):
    """Whether every router would read this path in the same way."""
    if not path.startswith(b"/") or len(path) > LONGEST_PATH:
        return False
    if any(text in path for text in (b"//", b"/./", b"/../", b"\\", b";", b"#", b" ")):
        return False
    if path.endswith((b"/.", b"/..")):
        return False
    if any(byte < 0x20 or byte >= 0x7F for byte in path):
        return False
    for place in [match.start() for match in re.finditer(b"%", path)]:
        byte = encoded_byte(path, place)
        if byte is None or byte in UNRESERVED or byte in b"%/\\" or byte < 0x20 or byte == 0x7F:
            return False
    return is_utf8(percent_decoded(path))


def is_utf8(text):
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def percent_decoded(text):
    decoded, place = b"", 0
    while place < len(text):
        byte = encoded_byte(text, place)
        if byte is None:
            decoded += text[place:place + 1]
            place += 1
        else:
            decoded += bytes([byte])
            place += 3
    return decoded


def encoded_byte(text, place):
    """The byte that a %-sequence at this place stands for; None where there is none, or a malformed one."""
    if re.fullmatch(rb"%[0-9A-Fa-f]{2}", text[place:place + 3]):
        return int(text[place + 1:place + 3], 16)
    return None


def seconds(us):
    """Whole seconds, rounded up."""
    return -(-us // 1_000_000)


def unix_ms(date):
    """Milliseconds since 1970 of an RFC 3339 date in UTC, counted year by year and month by month."""
    year, month, day, hour, minute, second = (int(number) for number in re.findall(r"\d+", date)[:6])
    fraction = re.search(r"\.(\d+)", date)
    days = sum(days_in_year(each) for each in range(year)) - sum(days_in_year(each) for each in range(1970))
    days += sum(days_in_month(year, each) for each in range(1, month)) + day - 1
    whole_s = ((days * 24 + hour) * 60 + minute) * 60 + second
    return whole_s * 1000 + (int(fraction.group(1).ljust(3, "0")) if fraction else 0)


def days_in_year(year):
    return 366 if days_in_month(year, 2) == 29 else 365


def days_in_month(year, month):
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month in (4, 6, 9, 11) else 31


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
