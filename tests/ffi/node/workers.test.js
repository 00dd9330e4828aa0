// Changes of the registry file by others, as examples/node/server.js sees them, in one process and in several.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, mock, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Registry } from "./bpos.js";
import { guarded } from "./server.js";
import { folder, loaded, registry, SPEC, TARGET } from "./suite.js";

const WORKERS = 4; // of cluster.js

loaded();

/** The status of an answer, and which worker gave it. */
async function ask(port, key) {
  const headers = { "X-API-Key": key, Connection: "close" };
  const answer = await fetch(`http://127.0.0.1:${port}${TARGET}`, { headers });
  await answer.arrayBuffer();
  return [answer.status, answer.headers.get("Worker")];
}

/** Serves in this process, and returns the port. */
async function serve(of) {
  const shop = guarded(of, () => "yourstore", (request, response) => response.end());
  const server = createServer(shop).listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  return server.address().port;
}

test("a key that another process revokes is denied at the next request", async () => {
  const path = `${folder()}/keys.json`;
  const owner = Registry.init(path);
  const { key, record } = owner.create(SPEC);
  const port = await serve(Registry.open(path, { read_only: true }));
  assert.equal((await ask(port, key.expose()))[0], 200);
  owner.revoke(record.id);
  assert.equal((await ask(port, key.expose()))[0], 401);
});
test("a file that turned bad changes nothing", async () => {
  const path = `${folder()}/keys.json`;
  const { key } = Registry.init(path).create(SPEC);
  const port = await serve(Registry.open(path, { read_only: true }));
  assert.equal((await ask(port, key.expose()))[0], 200);
  writeFileSync(path, "{");
  assert.equal((await ask(port, key.expose()))[0], 200);
});
test("a registry in memory serves, too, and the log has one line for a request", async () => {
  const memory = registry();
  const { key } = memory.create(SPEC);
  const port = await serve(memory);
  const log = mock.method(console, "error", () => {});
  assert.equal((await ask(port, key.expose()))[0], 200);
  const lines = log.mock.calls.map((call) => call.arguments[0]);
  log.mock.restore();
  assert.equal(lines.length, 1);
  assert.match(lines[0], /200 allowed/);
});
// Which worker is asked is the system's choice: it is asked until each has answered as expected.
test("workers count together, and each knows at its next request what the command changed", async () => {
  const path = `${folder()}/keys.json`;
  bpos(path, "init", path);
  const port = await cluster(path);

  const [key, record] = newKey(path);
  const workers = new Set();
  let admitted = 0;
  for (let asked = 0; asked < 400; asked += 20) {
    for (const [status, worker] of await Promise.all(Array.from({ length: 20 }, () => ask(port, key)))) {
      workers.add(worker);
      admitted += status === 200;
    }
  }
  assert.deepEqual([admitted, workers.size], [60, WORKERS]);

  bpos(path, "key", "revoke", record.id);
  const then = await until(port, key, 401);
  assert.deepEqual(then.filter((status) => status !== 401), []);

  const next = await until(port, newKey(path)[0], 200);
  assert.deepEqual(next.filter((status) => status !== 200), []);
});
test("workers that do not share count apart, and see changes on reload", async () => {
  const path = `${folder()}/keys.json`;
  bpos(path, "init", path);
  const [key, record] = newKey(path, "--rate-limit", "1");
  const port = await cluster(path, "alone");
  const first = await until(port, key, 429);
  assert.deepEqual(first.filter((status) => status !== 429), Array(WORKERS).fill(200)); // a limit of 1 admits 4
  bpos(path, "key", "revoke", record.id);
  const then = await until(port, key, 401);
  assert.deepEqual(then.filter((status) => status !== 401), []);
});

/** Runs the command, as another process. */
function bpos(path, ...words) {
  const env = { ...process.env, BPOS_REGISTRY: path };
  return execFileSync(process.env.BPOS_COMMAND, words, { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
}

/** A key that the command makes, and its record. */
function newKey(path, ...words) {
  const spec = ["--name", SPEC.name, "--store", SPEC.store, "--scope", SPEC.scopes[0], ...words];
  const { key, record } = JSON.parse(bpos(path, "key", "create", "--json", ...spec));
  return [key, record];
}

/** Starts cluster.js, and returns its port. */
async function cluster(...of) {
  const program = fileURLToPath(new URL("cluster.js", import.meta.url));
  const server = spawn(process.execPath, [program, ...of], { stdio: ["ignore", "pipe", "ignore"] });
  after(() => server.kill());
  const [line] = await once(server.stdout, "data");
  return Number(line);
}

/** Asks until all workers have answered with the status. Returns all statuses. */
async function until(port, key, expected) {
  const workers = new Set();
  const statuses = [];
  while (workers.size < WORKERS) {
    assert.ok(statuses.length < 1000, `${statuses.slice(-10)}`);
    const [status, worker] = await ask(port, key);
    statuses.push(status);
    if (status === expected) workers.add(worker);
  }
  return statuses;
}
