// The vectors of tests/vectors, through the public API of examples/node.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { ANY_STORE, Registry } from "./bpos.js";
import { BPOS_ROOT, loaded } from "./suite.js";

loaded();
const folder = join(BPOS_ROOT, "tests/vectors");
let cases = 0;
let calls = 0;
const codes = new Map(); // of each reason, as the bodies have it
after(() => console.log(`${cases} cases, ${calls} calls`));

for (const name of readdirSync(folder).filter((file) => file.endsWith(".json"))) {
  test(name, () => {
    const file = JSON.parse(readFileSync(join(folder, name), "utf8"));
    const document = JSON.stringify(file.registry);
    const options = file.policy && { policy: file.policy };
    for (const { name: label, calls: sequence } of file.cases) {
      const registry = Registry.fromJson(document, options);
      for (const [number, call] of sequence.entries()) {
        calls += check(registry, call, `${label}, call ${number}`);
      }
      registry.close();
      cases += 1;
    }
  });
}

test("the cases have every reason but internal", () => assert.equal(codes.size, 13, [...codes.keys()].join(" ")));

function check(registry, call, where) {
  const apiKey = call.key_hex === undefined ? call.key : Buffer.from(call.key_hex, "hex");
  const facts = { apiKey, store: call.store ?? ANY_STORE, method: call.method, target: call.target, scope: call.scope };
  const at = { unixMs: call.unix_ms, monotonicUs: call.monotonic_us };
  const { expect, times = 1 } = call;
  let decision;
  for (let time = 0; time < times; time += 1) {
    decision = call.scope === undefined ? registry.authorize(facts, at) : registry.authorizeScope(facts, at);
    assert.deepEqual([decision.status, decision.reason], [expect.status, expect.reason], where);
  }
  const body = decision.body();
  assert.equal(decision.allowed, expect.status === 200, where);
  assert.equal(decision.requiredScope > 0, expect.required_scope !== "", where);
  const found = {
    status: decision.status,
    reason: decision.reason,
    required_scope: decision.requiredScope === registry.scopeId(expect.required_scope) ? expect.required_scope : null,
    limit: decision.limit,
    remaining: decision.remaining,
    retry_after_s: decision.retryAfterS,
    reset_s: decision.resetS,
    test_mode: decision.testMode,
    key_id: decision.keyId,
    store: decision.store,
    headers: decision.headers().map(([name, value]) => `${name}: ${value}`),
    body: body === "" ? null : JSON.parse(body),
  };
  assert.deepEqual(found, expect, where);
  assert.equal(decision.code, expect.body === null ? "allowed" : expect.body.code, where);
  codes.set(expect.reason, decision.code);
  return times;
}
