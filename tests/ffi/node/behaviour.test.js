// What examples/node/bpos.js does with good and bad input.

import assert from "node:assert/strict";
import { chmodSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import { ANY_STORE, redact, Registry } from "./bpos.js";
import { ask, DOCUMENT, fails, folder, loaded, registry, SPEC, TARGET } from "./suite.js";

loaded();

/** Writes a registry file without keys. */
function empty(path) {
  writeFileSync(path, DOCUMENT);
  chmodSync(path, 0o600);
  return path;
}

// ---- To decide ----

test("a store that was not found matches no key, and only ANY_STORE leaves the check out", () => {
  const of = registry();
  const key = of.create(SPEC).key.expose();
  for (const store of [null, "", Buffer.alloc(0), new Uint8Array(0), "yourstore\0"]) {
    assert.equal(ask(of, key, store).reason, "wrong_store", inspect(store));
  }
  assert.equal(of.authorize({ apiKey: key, method: "GET", target: TARGET }).reason, "wrong_store");
  for (const store of ["yourstore", Buffer.from("yourstore"), ANY_STORE]) {
    assert.equal(ask(of, key, store).reason, "allowed", inspect(store));
  }
});
test("no key and an empty one are missing; NUL, blank and other bytes are malformed", () => {
  const of = registry();
  const key = of.create(SPEC).key.expose();
  for (const missing of [null, undefined, "", Buffer.alloc(0)]) {
    assert.equal(ask(of, missing).reason, "missing_key");
  }
  const within = `${key.slice(0, 20)}\0${key.slice(20)}`;
  const texts = [`${key}\0`, `\0${key}`, within, ` ${key}`, `${key}\n`, `${key}é`, `${key}\ud800`];
  for (const bad of [...texts, ...texts.map((text) => Buffer.from(text, "latin1"))]) {
    assert.equal(ask(of, bad).reason, "malformed_key", inspect(bad));
  }
  assert.equal(ask(of, key).reason, "allowed");
  assert.equal(ask(of, Buffer.from(key)).reason, "allowed");
});
test("a NUL in the target or the method goes to the library whole", () => {
  const of = registry();
  const apiKey = of.create(SPEC).key.expose();
  const facts = { apiKey, store: "yourstore", method: "GET", target: TARGET };
  assert.equal(of.authorize({ ...facts, target: `${TARGET}\0` }).reason, "unmapped_route");
  assert.equal(of.authorize({ ...facts, method: "GET\0" }).reason, "unmapped_route");
  assert.equal(of.authorize({ ...facts, target: `${TARGET}?\0${apiKey}` }).reason, "key_in_url");
});
test("what is no text is misuse, answered with 500", () => {
  const of = registry();
  const apiKey = of.create(SPEC).key.expose();
  const facts = { apiKey, store: "yourstore", method: "GET", target: TARGET };
  for (const member of Object.keys(facts)) {
    for (const value of [1, NaN, true, ["yourstore"], {}, Symbol("yourstore")]) {
      const decision = of.authorize({ ...facts, [member]: value });
      assert.deepEqual([decision.status, decision.reason], [500, "internal"], `${member}: ${inspect(value)}`);
    }
  }
});
test("time is an argument: the limit is exact, and no test sleeps", () => {
  const of = registry();
  const key = of.create({ ...SPEC, rate_limit: 1 }).key.expose();
  const at = (monotonicUs) => ask(of, key, "yourstore", { unixMs: 1_795_521_600_000, monotonicUs });
  assert.equal(at(5_000_000).resetS, 61);
  assert.equal(at(65_000_000).retryAfterS, 1);
  assert.equal(at(65_000_001).allowed, true);
});
test("times that are no safe integers are misuse, answered with 500", () => {
  const of = registry();
  const apiKey = of.create(SPEC).key.expose();
  const facts = { apiKey, store: "yourstore", method: "GET", target: TARGET, scope: "products:read" };
  const bad = [NaN, Infinity, 1.5, -1.5, 2 ** 53, -(2 ** 53), "1", 1n, null, undefined, {}, new Number(1)];
  const times = bad.flatMap((time) => [{ unixMs: time, monotonicUs: 1 }, { unixMs: 1, monotonicUs: time }]);
  for (const at of [...times, { unixMs: 1, monotonicUs: -1 }, {}, 0, 5, "now", true, new Date()]) {
    for (const decision of [of.authorize(facts, at), of.authorizeScope(facts, at)]) {
      assert.deepEqual([decision.status, decision.reason], [500, "internal"], inspect(at));
    }
  }
  assert.equal(of.authorize(facts, { unixMs: -1, monotonicUs: 0 }).status, 200);
});
test("a request that is none is denied", () => {
  for (const none of [undefined, null, 1, {}]) {
    assert.equal(registry().authorize(none).reason, "missing_key");
    assert.equal(registry().authorizeScope(none).allowed, false);
  }
});
test("a scope is named by its name or its number", () => {
  const of = registry();
  const facts = { apiKey: of.create(SPEC).key.expose(), store: "yourstore" };
  const reason = (scope) => of.authorizeScope({ ...facts, scope }).reason;
  assert.equal(reason("products:read"), "allowed");
  assert.equal(reason(of.scopeId("products:read")), "allowed");
  assert.equal(reason("products:write"), "insufficient_scope");
  const numbers = [0, 99, -1, 2 ** 32 + 1, 1 - 2 ** 32, 1.9, NaN, Infinity, 1n, new Number(1)];
  for (const unknown of ["products:reed", "products:read\0", "", null, undefined, ...numbers]) {
    assert.equal(reason(unknown), "internal", inspect(unknown));
  }
});
test("options are the library's: a policy of the host, and the right to change nothing", () => {
  const policy = { scopes: [{ name: "a:read" }], routes: [{ method: "GET", path: "/a", scope: "a:read" }] };
  assert.equal(Registry.fromJson(DOCUMENT, { policy }).scopeId("a:read"), 12);
  fails("read_only", "", () => Registry.fromJson(DOCUMENT, { read_only: true }).create(SPEC));
  fails("format", '"polcy"', () => Registry.fromJson(DOCUMENT, { polcy: policy }));
});
test("a policy that was not found is an error, and not the built-in policy", () => {
  fails("format", "the options", () => Registry.fromJson(DOCUMENT, { policy: null }));
  fails("format", "the options", () => Registry.fromJson(DOCUMENT, null));
  for (const lost of [undefined, () => {}, Symbol("policy"), NaN]) {
    fails("invalid_argument", `"policy" is ${inspect(lost)}`, () => Registry.fromJson(DOCUMENT, { policy: lost }));
    fails("invalid_argument", `"policy" is ${inspect(lost)}`, () => Registry.open("keys.json", { policy: lost }));
  }
  Registry.fromJson(DOCUMENT, {});
  Registry.fromJson(DOCUMENT, undefined);
});
test("what JSON would drop or make null is refused: an expiry that is no date would be never", () => {
  const of = registry();
  const { id } = of.create({ ...SPEC, expires_at: null }).record;
  for (const lost of [undefined, NaN, new Date(NaN), 1n]) {
    fails("invalid_argument", `"expires_at" is ${inspect(lost)}`, () => of.create({ ...SPEC, expires_at: lost }));
    fails("invalid_argument", `"expires_at" is ${inspect(lost)}`, () => of.update(id, { expires_at: lost }));
  }
  fails("invalid_argument", '"0" is undefined', () => of.create({ ...SPEC, scopes: [undefined] }));
  assert.equal(of.list(ANY_STORE).length, 1);
  for (const grace of [undefined, null, NaN, 1.9, "60", 2 ** 53, 60n]) {
    fails("invalid_argument", `${inspect(grace)} seconds`, () => of.rotate(id, grace));
  }
});

// ---- Keys ----

test("a key is created, changed, rotated and revoked", () => {
  const of = registry();
  const { key, record: { id } } = of.create(SPEC);
  const first = key.expose();
  assert.equal(of.update(id, { rate_limit: 300 }).rate_limit, 300);
  of.disable(id);
  assert.equal(ask(of, first).reason, "disabled_key");
  of.enable(id);
  assert.equal(ask(of, first).reason, "allowed");
  const second = of.rotate(id, 3600).key.expose();
  assert.deepEqual([ask(of, first).reason, ask(of, second).reason], ["allowed", "allowed"]);
  const third = of.rotate(id, 0).key.expose();
  assert.deepEqual([ask(of, second).reason, ask(of, third).reason], ["unknown_key", "allowed"]);
  of.revoke(id);
  assert.equal(ask(of, third).reason, "revoked_key");
  assert.notEqual(of.get(id).revoked_at, null);
  const counts = ["yourstore", "", null, "other", ANY_STORE].map((store) => of.list(store).length);
  assert.deepEqual(counts, [1, 0, 0, 0, 1]);
});
test("many keys are listed in pages", () => {
  const of = registry();
  const store = (name) => (name === "3" ? "other" : "yourstore");
  const ids = [..."12345"].map((name) => of.create({ ...SPEC, name, store: store(name) }).record.id);
  const names = (...page) => of.list(...page).map((record) => record.name).join("");
  const all = [undefined, ids[1], ids[3], ids[4]].map((after) => names(ANY_STORE, { after, limit: 2 }));
  assert.deepEqual(all, ["12", "34", "5", ""]);
  const pages = [{}, { after: ids[2] }, { after: ids[1], limit: 1 }, { limit: 0 }];
  const some = pages.map((page) => names("yourstore", page));
  assert.deepEqual(some, ["1245", "45", "4", ""]);
  fails("not_found", 'no key has the id "key_none"', () => of.list("yourstore", { after: "key_none", limit: 2 }));
  fails("not_found", 'no key has the id ""', () => of.list("yourstore", { after: "" }));
  for (const limit of [-1, 1.5, NaN, null, "2", 2 ** 53]) {
    fails("invalid_argument", `${inspect(limit)} is no limit`, () => of.list("yourstore", { limit }));
  }
});
test("several changes are made together, each with its answer", () => {
  const of = registry();
  const { id } = of.create(SPEC).record;
  assert.deepEqual(of.edit([]), []);
  const [made, changed, rotated, disabled] = of.edit([
    { create: { ...SPEC, name: "Another" } },
    { update: { id, patch: { rate_limit: 7 } } },
    { rotate: { id, grace_s: 0 } },
    { disable: id },
  ]);
  assert.deepEqual([made.record.name, ask(of, made.key.expose()).reason], ["Another", "allowed"]);
  assert.deepEqual([changed.rate_limit, disabled], [7, null]);
  assert.deepEqual([rotated.record.id, ask(of, rotated.key.expose()).reason], [id, "disabled_key"]);
  assert.ok(!inspect([made, rotated], { depth: 9 }).includes(made.key.expose()));
});
test("of changes of which one is refused none is made", () => {
  const of = registry();
  const { key, record: { id } } = of.create(SPEC);
  const changes = [{ revoke: id }, { enable: "key_none" }];
  fails("not_found", 'change 2: no key has the id "key_none"', () => of.edit(changes));
  for (const none of [{ revoke: id }, [{}], [{ erase: id }], null, "revoke"]) {
    fails("format", "", () => of.edit(none));
  }
  fails("invalid_argument", '"grace_s" is NaN', () => of.edit([{ revoke: id }, { rotate: { id, grace_s: NaN } }]));
  assert.equal(ask(of, key.expose()).reason, "allowed");
});
test("a name may be in any script", () => {
  const name = "Café ☕ Ω \u{1d11e}";
  assert.equal(registry().create({ ...SPEC, name }).record.name, name);
});
test("an error has the name and the words of the library", () => {
  fails("not_found", 'no key has the id "key_none"', () => registry().revoke("key_none"));
  fails("format", "missing member `name`", () => registry().create({}));
  fails("invalid_argument", "", () => registry().reload());
});
test("a secret is in no dump, no text and no JSON", () => {
  const made = registry().create(SPEC);
  const secret = made.key.expose();
  const shown = [inspect(made, { showHidden: true, depth: 9 }), `${made.key}`, JSON.stringify(made), made.key + ""];
  for (const text of shown) {
    assert.ok(!text.includes(secret), text);
    assert.ok(text.includes(`${secret.slice(0, 9)}****`), text);
  }
});
test("what the log shows of a key is its beginning", () => {
  assert.equal(redact("a bpos_abcd0123456789AB b\0é"), "a bpos_abcd************ b\0é");
  assert.equal(redact(""), "");
});
test("a large document and a list of a thousand keys go through whole", () => {
  const of = registry();
  const name = "n".repeat(60);
  for (let i = 0; i < 1000; i += 1) of.create({ ...SPEC, name });
  assert.deepEqual(of.list("yourstore").map((record) => record.name), Array(1000).fill(name));
  const blanks = " ".repeat(3_000_000);
  assert.deepEqual(Registry.fromJson(`{"version": 1,${blanks}"keys": []}`).list(ANY_STORE), []);
});

// ---- Files ----

test("registries of one file count together, and a change by one is in force in all", () => {
  const path = `${folder()}/keys.json`;
  const [writer, reader] = [Registry.init(path), Registry.open(path, { read_only: true })];
  const { key, record } = writer.create({ ...SPEC, rate_limit: 2 });
  const reasons = [reader, writer, reader].map((of) => ask(of, key.expose()).reason);
  assert.deepEqual(reasons, ["allowed", "allowed", "rate_limited"]);
  writer.revoke(record.id);
  assert.equal(ask(reader, key.expose()).reason, "revoked_key");
  writeFileSync(path, '{"version": 1');
  fails("format", "the registry document", () => reader.reload());
  assert.equal(ask(reader, key.expose()).reason, "revoked_key");
});
test("what cannot be shared is an error that names the option", () => {
  const path = `${folder()}/keys.json`;
  fails("io", '"shared": false', () => Registry.init(path, { shared: { dir: "/nowhere" } }));
  assert.deepEqual(Registry.open(path, { shared: false }).list(ANY_STORE), []);
  fails("format", "shared", () => Registry.open(path, { shared: 1 }));
});
test("registries share in the folder that is named", () => {
  const [path, dir] = [`${folder()}/keys.json`, folder()];
  const [one, other] = [Registry.init(path, { shared: { dir } }), Registry.open(path, { shared: { dir } })];
  assert.match(readdirSync(dir).join(), /^bpos-[0-9a-f]{32}$/);
  const { key } = one.create({ ...SPEC, rate_limit: 1 });
  assert.deepEqual([other, one].map((of) => ask(of, key.expose()).reason), ["allowed", "rate_limited"]);
});
test("a registry file that is not shared is seen changing on reload, and counts apart", () => {
  const path = empty(`${folder()}/keys.json`);
  const [writer, reader] = [{}, { read_only: true }].map((more) => Registry.open(path, { shared: false, ...more }));
  const { key, record } = writer.create(SPEC);
  assert.equal(ask(reader, key.expose()).reason, "unknown_key");
  assert.deepEqual([reader.reloadIfChanged(), reader.reloadIfChanged()], [true, false]);
  assert.equal(ask(reader, key.expose()).reason, "allowed");
  assert.deepEqual([reader, writer].map((of) => ask(of, key.expose()).remaining), [58, 59]);
  writer.revoke(record.id);
  reader.reload();
  assert.equal(ask(reader, key.expose()).reason, "revoked_key");
  writeFileSync(path, '{"version": 1');
  fails("format", "the registry document", () => reader.reload());
  assert.equal(ask(reader, key.expose()).reason, "revoked_key");
});
test("a registry file is made, for its owner alone, and never in the place of another", () => {
  const path = `${folder()}/keys.json`;
  const { key } = Registry.init(path).create(SPEC);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(ask(Registry.open(path), key.expose()).reason, "allowed");
  fails("conflict", "", () => Registry.init(path));
  assert.equal(ask(Registry.open(path), key.expose()).reason, "allowed");
});
test("a path may have any bytes but NUL", () => {
  const path = Buffer.concat([Buffer.from(`${folder()}/keys `), Buffer.from([0xff, 0xfe])]);
  empty(path);
  assert.deepEqual(Registry.open(path).list(ANY_STORE), []);
  fails("io", "NUL", () => Registry.open(Buffer.concat([path, Buffer.from([0])])));
  fails("io", "NUL", () => Registry.open("/nowhere/a\0b"));
  fails("io", "No such file", () => Registry.open("/nowhere/é\ud800"));
  fails("io", "", () => Registry.open(""));
});
test("a path or a document that is no text is misuse", () => {
  for (const value of [null, undefined, 1, {}, ["keys.json"]]) {
    fails("invalid_argument", "", () => Registry.open(value));
    fails("invalid_argument", "", () => Registry.fromJson(value));
  }
});
test("a document of a newer version is refused", () => {
  fails("format", "expected version 1; found 2", () => Registry.fromJson('{"version": 2, "keys": []}'));
});
test("an error has the place in the document", () => {
  const document = `{"version": 1, "keys": [
  {"id": "key_1", "name": "Website Sync", "store": "yourstore", "scopes": [],
   "rate_limit": 7000, "sha256": "0f11d542d395e36e30e861e8ffea08db283a96dc08036a2c4eac4289a4a2fc53"}]}`;
  const placed = (line, column) => (error) => {
    assert.deepEqual([error.line, error.column, error.inFile], [line, column, false]);
    return true;
  };
  assert.throws(() => Registry.fromJson(document), placed(3, 21));
  assert.throws(() => registry().revoke("key_none"), placed(undefined, undefined));
});

// ---- Lives ----

test("after close all is denied with 500, cold calls say so, and closing again does nothing", () => {
  const of = registry();
  const key = of.create(SPEC).key.expose();
  const before = ask(of, key);
  of.close();
  of.close();
  const later = ask(of, key);
  assert.deepEqual([later.status, later.reason, later.allowed], [500, "internal", false]);
  assert.deepEqual([later.code, JSON.parse(later.body()).code], ["internal", "internal"]);
  assert.equal(of.authorizeScope({ apiKey: key, store: "yourstore", scope: "products:read" }).status, 500);
  const cold = [
    () => of.create(SPEC), () => of.get("key_1"), () => of.list("yourstore"), () => of.revoke("key_1"),
    () => of.enable("key_1"), () => of.disable("key_1"), () => of.edit([]),
    () => of.rotate("key_1", 0), () => of.update("key_1", {}), () => of.reload(), () => of.reloadIfChanged(),
  ];
  for (const call of cold) fails("invalid_argument", "the registry is closed", call);
  assert.deepEqual([before.status, before.headers().length], [200, 2]); // a decision outlives its registry
});
test("the collector may run at any time, and frees what nobody closed", async () => {
  const { seen, decisions } = await busy();
  assert.ok(seen.some((reference) => reference.deref() === undefined), "the collector took none of the registries");
  for (const decision of decisions) {
    assert.deepEqual(decision.headers()[1], ["RateLimit", '"default";r=59;t=61']);
  }
});

/** Makes registries and forgets them, while the collector and its finalizers run. */
async function busy() {
  const seen = [];
  const decisions = [];
  for (let round = 0; round < 30; round += 1) {
    const of = registry();
    const { key } = of.create(SPEC);
    globalThis.gc();
    decisions.push(ask(of, Buffer.from(key.expose())));
    seen.push(new WeakRef(of));
    globalThis.gc();
    await new Promise(setImmediate);
  }
  return { seen, decisions };
}
