// examples/node/server.js: what comes through to the shop, and what is answered instead.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { after, test } from "node:test";
import { guarded } from "./server.js";
import { loaded, registry, SPEC, TARGET } from "./suite.js";

loaded();
const keys = registry();
const { key, record } = keys.create(SPEC);
const KEY = `X-API-Key: ${key.expose()}`;

/** A shop that notes what it is handed. */
async function shop(of = keys, storeOf = () => "yourstore") {
  const served = [];
  const handler = (request, response, decision) => {
    served.push({ request, decision });
    response.end("welcome");
  };
  const server = createServer(guarded(of, storeOf, handler)).listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  const ask = async (method, target, ...headers) => {
    const socket = connect(server.address().port, "127.0.0.1");
    socket.end([`${method} ${target} HTTP/1.1`, "Host: a", "Connection: close", ...headers, "", ""].join("\r\n"));
    const [head, body] = Buffer.concat(await socket.toArray()).toString().split(/\r\n\r\n(.*)/s);
    const [first, ...lines] = head.split("\r\n");
    return { status: Number(first.split(" ")[1]), headers: lines, body };
  };
  return { served, ask };
}

test("an allowed request comes through with its decision and without its key", async () => {
  const { served, ask } = await shop();
  const answer = await ask("GET", `${TARGET}?q=%41`, KEY, "x-other: a");
  assert.deepEqual([answer.status, answer.body], [200, "welcome"]);
  assert.ok(answer.headers.some((line) => /^RateLimit: "default";r=\d+;t=\d+$/.test(line)));
  assert.ok(answer.headers.includes("Cache-Control: no-store"));
  const [{ request, decision }] = served;
  assert.deepEqual([decision.store, decision.keyId], ["yourstore", record.id]);
  const seen = JSON.stringify([request.headers, request.headersDistinct, request.rawHeaders]);
  assert.ok(!seen.toLowerCase().includes("x-api-key") && !seen.includes(key.expose()));
  assert.equal(request.headers["x-other"], "a");
});
test("a denied request comes not through, and is answered as the library says", async () => {
  const { served, ask } = await shop();
  const answer = await ask("GET", TARGET);
  assert.deepEqual([answer.status, JSON.parse(answer.body).code, served.length], [401, "missing_key", 0]);
  for (const line of ['WWW-Authenticate: ApiKey realm="bpos"', "Content-Type: application/problem+json"]) {
    assert.ok(answer.headers.includes(line), line);
  }
});
test("the answer to a denied HEAD has no body", async () => {
  const { ask } = await shop();
  const answer = await ask("HEAD", TARGET);
  assert.deepEqual([answer.status, answer.body], [401, ""]);
});
test("several X-API-Key headers are no key", async () => {
  const { served, ask } = await shop();
  for (const headers of [[KEY, "X-API-Key: a"], ["x-api-key: a", KEY], [KEY, KEY]]) {
    const answer = await ask("GET", TARGET, ...headers);
    assert.deepEqual([answer.status, JSON.parse(answer.body).code], [401, "invalid_key"]);
  }
  assert.equal(served.length, 0);
});
test("the target is taken as it was received", async () => {
  const { served, ask } = await shop();
  for (const target of ["/api/v1/%70roducts", "/api/v1/../v1/products", "http://a/api/v1/products"]) {
    assert.equal((await ask("GET", target, KEY)).status, 403, target);
  }
  assert.equal((await ask("GET", `${TARGET}?k=%62pos_0123456789abcdef`, KEY)).status, 401);
  assert.equal(served.length, 0);
});
test("a store that is not found lets nobody in, and an exception is 500", async () => {
  for (const [storeOf, status] of [[() => null, 401], [() => "", 401], [() => "other", 401],
    ...[new Error("no database"), null, undefined, Symbol("no"), Object.create(null), { message: Symbol("no") }]
      .map((error) => [() => { throw error; }, 500])]) {
    const { served, ask } = await shop(keys, storeOf);
    assert.deepEqual([(await ask("GET", TARGET, KEY)).status, served.length], [status, 0]);
  }
});
test("a closed registry lets nobody in", async () => {
  const closed = registry();
  const { served, ask } = await shop(closed);
  const header = `X-API-Key: ${closed.create(SPEC).key.expose()}`;
  assert.equal((await ask("GET", TARGET, header)).status, 200);
  closed.close();
  assert.deepEqual([(await ask("GET", TARGET, header)).status, served.length], [500, 1]);
});
