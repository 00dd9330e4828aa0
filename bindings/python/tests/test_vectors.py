"""The cases of tests/vectors, which every language runs, through the public API."""

from __future__ import annotations

import json
from typing import Any, Iterator, Optional, Union

import pytest
from sample import CHECKOUT

import bpos

CALL = {"unix_ms", "monotonic_us", "key", "key_hex", "store", "method", "target", "scope", "times", "expect"}


def cases() -> Iterator[Any]:
    files = sorted((CHECKOUT / "tests" / "vectors").glob("*.json"))
    assert files, "there are no vectors"
    for file in files:
        document = json.loads(file.read_text(encoding="utf-8"))
        registry = json.dumps(document["registry"])
        for case in document["cases"]:
            yield pytest.param(registry, document.get("policy"), case["calls"], id=f"{file.stem}: {case['name']}")


@pytest.mark.parametrize(("document", "policy", "calls"), [*cases()])
def test_case(document: str, policy: Optional[dict[str, Any]], calls: list[dict[str, Any]]) -> None:
    with bpos.Registry.from_json(document, policy=policy) as registry:
        for call in calls:
            assert call.keys() <= CALL
            times = call.get("times", 1)
            decisions = [decide(registry, call) for _ in range(times)]
            expect = call["expect"]
            assert {(d.status, str(d.reason)) for d in decisions} == {(expect["status"], expect["reason"])}
            assert as_expected(decisions[-1]) == expect


def decide(registry: bpos.Registry, call: dict[str, Any]) -> bpos.Decision:
    key: Union[str, bytes, None] = bytes.fromhex(call["key_hex"]) if "key_hex" in call else call["key"]
    store = bpos.ANY_STORE if call["store"] is None else call["store"]
    at = bpos.Now(call["unix_ms"], call["monotonic_us"])
    if "scope" in call:
        try:
            return registry.authorize_scope(call["scope"], api_key=key, store=store, at=at)
        except ValueError:
            return bpos.Decision()  # a scope that does not exist, which is the program's mistake in Python
    return registry.authorize(call["method"], call["target"], api_key=key, store=store, at=at)


def as_expected(decision: bpos.Decision) -> dict[str, Any]:
    """A decision in the form of the vectors."""
    assert decision.allowed == bool(decision) == (decision.status == 200)
    body = json.loads(decision.body) if decision.body else None
    assert decision.code == (body["code"] if body else "")
    return {
        "status": decision.status,
        "reason": str(decision.reason),
        "required_scope": decision.required_scope,
        "limit": decision.limit,
        "remaining": decision.remaining,
        "retry_after_s": decision.retry_after_s,
        "reset_s": decision.reset_s,
        "test_mode": decision.test_mode,
        "key_id": decision.key_id,
        "store": decision.store,
        "headers": [f"{name}: {value}" for name, value in decision.headers],
        "body": body,
    }
