"""A decision as a value."""

from __future__ import annotations

import dataclasses
import json

import pytest
from sample import KEY

import bpos


def test_nothing_is_a_denial() -> None:
    nothing = bpos.Decision()
    assert not nothing and not nothing.allowed
    assert json.loads(nothing.body)["status"] == 500
    assert not bpos.Decision(status=0) and not bpos.Decision(status=201)


def test_a_status_that_no_decision_has_is_answered_as_500() -> None:
    for status in (0, 201, 302, 418, 2**31 - 1):
        assert json.loads(bpos.Decision(status=status).body)["status"] == 500


def test_it_is_true_if_and_only_if_it_allows(registry: bpos.Registry) -> None:
    assert registry.authorize("GET", "/api/v1/products", api_key=KEY, store="yourstore")
    assert not registry.authorize("GET", "/api/v1/sales", api_key=KEY, store="yourstore")


def test_it_is_a_plain_value_that_outlives_its_registry(registry: bpos.Registry) -> None:
    decision = registry.authorize("GET", "/api/v1/sales", api_key=KEY, store="yourstore")
    registry.close()
    body = {
        "type": "about:blank",
        "title": "Forbidden",
        "status": 403,
        "detail": "The API key lacks the scope that this endpoint needs.",
        "code": "insufficient_scope",
        "required_scope": "sales:read",
    }
    assert json.loads(decision.body) == body
    assert decision == bpos.Decision(
        status=403,
        reason=bpos.Reason.INSUFFICIENT_SCOPE,
        required_scope="sales:read",
        key_id="key_1",
        store="yourstore",
    )
    assert hash(decision) == hash(dataclasses.replace(decision))
    assert dataclasses.asdict(decision)["key_id"] == "key_1"
    with pytest.raises(dataclasses.FrozenInstanceError):
        decision.status = 200  # type: ignore[misc]


@pytest.mark.parametrize("reason", bpos.Reason)
def test_the_code_is_the_one_in_the_body(reason: bpos.Reason) -> None:
    statuses = {
        "RATE_LIMITED": 429,
        "INTERNAL": 500,
        "UNMAPPED_ROUTE": 403,
        "INSUFFICIENT_SCOPE": 403,
        "TEST_MODE": 403,
    }
    if reason is bpos.Reason.ALLOWED:
        assert bpos.Decision(200, reason).code == ""
    else:
        decision = bpos.Decision(statuses.get(reason.name, 401), reason)
        assert decision.code == json.loads(decision.body)["code"]
    assert bpos.Decision(401, bpos.Reason.WRONG_STORE).code == "invalid_key"
    assert bpos.Decision().code == bpos.Decision(0, bpos.Reason.ALLOWED).code == "internal"


def test_one_made_by_hand_has_the_answer_of_a_real_one() -> None:
    limited = bpos.Decision(429, bpos.Reason.RATE_LIMITED, "products:read", limit=60, retry_after_s=41, reset_s=41)
    assert limited.headers == [
        ("Retry-After", "41"),
        ("RateLimit-Policy", '"default";q=60;w=60'),
        ("RateLimit", '"default";r=0;t=41'),
        ("Content-Type", "application/problem+json"),
    ]
    assert json.loads(limited.body)["retry_after"] == 41


def test_a_reason_prints_its_name() -> None:
    assert f"{bpos.Reason.RATE_LIMITED}" == "%s" % bpos.Reason.RATE_LIMITED == "rate_limited"
