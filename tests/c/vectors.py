#!/usr/bin/env python3
"""Prints the vectors of tests/vectors in a form that C reads without a JSON library: `python3 vectors.py FILE...`.

A field is its length in bytes, a colon and the bytes; an absent one is "-". A record is a letter and its fields:

  F  file name, options or absent, registry document
  C  the case's name
  R  a call: key, store, method, target and scope (each may be absent), unix_ms, monotonic_us, times; and what is
     expected: status, reason, required_scope, limit, remaining, retry_after_s, reset_s, test_mode, key_id, store,
     headers, body, and the name of the scope that the body tells
"""

import json
import os
import sys

CALL = {"unix_ms", "monotonic_us", "key", "key_hex", "store", "method", "target", "scope", "times", "expect"}
BODY = ["type", "title", "status", "detail", "code", "required_scope", "retry_after"]


def field(value):
    if value is None:
        return b"-"
    data = value if isinstance(value, bytes) else str(value).encode()
    return b"%d:%s" % (len(data), data)


def record(kind, *fields):
    sys.stdout.buffer.write(kind + b"".join(map(field, fields)) + b"\n")


def body_text(body):
    """The body as the library writes it: compact, its members in their order."""
    if body is None:
        return ""
    ordered = {member: body[member] for member in BODY if member in body}
    if ordered != body:
        sys.exit(f"a body with unknown members: {body}")
    return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False)


def call_record(call):
    if not call.keys() <= CALL:
        sys.exit(f"a call with unknown members: {call}")
    expect = dict(call["expect"])
    key = bytes.fromhex(call["key_hex"]) if "key_hex" in call else call["key"]
    request = [key, call["store"], call.get("method"), call.get("target"), call.get("scope")]
    numbers = [call["unix_ms"], call["monotonic_us"], call.get("times", 1)]
    members = ["status", "reason", "required_scope", "limit", "remaining", "retry_after_s", "reset_s"]
    expected = [expect.pop(member) for member in members]
    expected += [int(expect.pop("test_mode")), expect.pop("key_id"), expect.pop("store")]
    body = expect.pop("body")
    expected += ["".join(f"{line}\r\n" for line in expect.pop("headers")), body_text(body)]
    if expect:
        sys.exit(f"an expectation with unknown members: {sorted(expect)}")
    record(b"R", *request, *numbers, *expected, (body or {}).get("required_scope", ""))


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        options = json.dumps({"policy": document["policy"]}) if "policy" in document else None
        record(b"F", os.path.basename(path), options, json.dumps(document["registry"]))
        for case in document["cases"]:
            record(b"C", case["name"])
            for call in case["calls"]:
                call_record(call)


main()
