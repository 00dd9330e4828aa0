// Changes of the registry file by others, as examples/node/server.js sees them, in one process and in several.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, mock, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Registry } from "./bpos.js";
import { guarded } from "./server.js";
import { folder, loaded, registry, SPEC, TARGET } from "./suite.js";

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
test("a file that turned bad changes nothing, and the log says so", async () => {
  const path = `${folder()}/keys.json`;
  const { key } = Registry.init(path).create(SPEC);
  const port = await serve(Registry.open(path, { read_only: true }));
  assert.equal((await ask(port, key.expose()))[0], 200);
  writeFileSync(path, "{");
  const log = mock.method(console, "error", () => {});
  assert.equal((await ask(port, key.expose()))[0], 200);
  const [[first]] = log.mock.calls.map((call) => call.arguments);
  log.mock.restore();
  assert.match(first, /^not reloaded, the old keys stay in force: .*the registry document/);
});
test("a registry in memory has no file to read again, and the log does not speak of one", async () => {
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
test("each worker counts on its own, and denies at its next request what was revoked elsewhere", async () => {
  const path = `${folder()}/keys.json`;
  const owner = Registry.init(path);
  const { key, record } = owner.create({ ...SPEC, rate_limit: 1 });
  const port = await cluster(path);

  // Which worker is asked is the system's choice: it is asked until each has answered as expected.
  const first = await until(port, key.expose(), 429);
  assert.deepEqual(first.filter((status) => status !== 429), [200, 200]); // a limit of 1 admits 2

  owner.revoke(record.id);
  const then = await until(port, key.expose(), 401);
  assert.deepEqual(then.filter((status) => status !== 401), []);
});

/** Starts cluster.js, and returns its port. */
async function cluster(path) {
  const program = fileURLToPath(new URL("cluster.js", import.meta.url));
  const server = spawn(process.execPath, [program, path], { stdio: ["ignore", "pipe", "ignore"] });
  after(() => server.kill());
  const [line] = await once(server.stdout, "data");
  return Number(line);
}

/** Asks until both workers have answered with the status. Returns all statuses. */
async function until(port, key, expected) {
  const workers = new Set();
  const statuses = [];
  while (workers.size < 2) {
    assert.ok(statuses.length < 1000, `${statuses.slice(-10)}`);
    const [status, worker] = await ask(port, key);
    statuses.push(status);
    if (status === expected) workers.add(worker);
  }
  return statuses;
}
