#!/usr/bin/env python3
"""Prints the document that cost.c asks.

Key number n is "bpos_" and n with 36 digits. The lower half of them may make 60 requests a minute, the upper half 1.
cost.c asks them by number; they are listed in another order, so that their records do not lie in memory in the order
in which they are asked. The keys before them have what one check of the decision looks for, and are named for it.
"""

import hashlib
import json

KEYS = 1_000_000  # as in cost.c
STRIDE = 617_773  # has no factor in common with KEYS
ENDED = "2026-01-01T00:00:00Z"  # before the time of cost.c


def main():
    print('{"version": 1, "keys": [')
    for name, changes in {
        "admitted": {},
        "clock": {"rate_limit": 1000},
        "limited": {"rate_limit": 1},
        "waiting": {"rate_limit": 1},
        "revoked": {"revoked_at": ENDED},
        "disabled": {"enabled": False},
        "expired": {"expires_at": ENDED},
        "testing": {"test_mode": True},
    }.items():
        print(record(name, name.ljust(36, "0"), **changes), end=",\n")
    for place in range(KEYS):
        number = place * STRIDE % KEYS
        limit = 60 if number < KEYS // 2 else 1
        print(record(f"{number:020}", f"{number:036}", rate_limit=limit), end=",\n" if place < KEYS - 1 else "]}\n")


def record(name, secret, **changes):
    digest = hashlib.sha256(b"bpos_" + secret.encode()).hexdigest()
    rest = "".join(f', "{member}": {json.dumps(value)}' for member, value in changes.items())
    return (
        f'{{"id": "key_{name}", "name": "Website Sync {name}", "store": "yourstore", "sha256": "{digest}", '
        f'"scopes": ["products:read", "inventory:write"]{rest}}}'
    )


main()
