// Routers that serve a path for another one, with bpos in front: a key for one order never gets what is behind
// /orders/export. It runs beside the copy of examples/node, with packages of its own.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, test } from "node:test";
import express4 from "express4";
import express5 from "express5";
import { Registry } from "../node/bpos.js";
import { guarded } from "../node/server.js";
import { DOCUMENT, loaded } from "../node/suite.js";

const POLICY = {
  scopes: [{ name: "orders:read" }, { name: "orders:admin" }],
  routes: [
    { method: "GET", path: "/orders/{id}", scope: "orders:read" },
    { method: "GET", path: "/orders/{id}/{part}", scope: "orders:read" },
    { method: "GET", path: "/orders/export", scope: "orders:admin" },
    { method: "GET", path: "/orders/export/lines", scope: "orders:admin" },
  ],
};
const FOLDED = ["/orders/EXPORT", "/orders/Export/", "/orders/exporT?page=2", "/orders/EXPORT/lines",
  "/orders/export/LINES", "/orders/export/Lines/"];

loaded();
const registry = Registry.fromJson(DOCUMENT, { policy: POLICY });
const keyFor = (scope) =>
  registry.create({ name: scope, store: "yourstore", scopes: [scope], rate_limit: 1000 }).key.expose();
const [reads, exports] = [keyFor("orders:read"), keyFor("orders:admin")];

async function served(handler) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  return async (target, key) => {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}${target}`, { headers: { "X-API-Key": key } });
    const body = await answer.text();
    return answer.ok ? body : `${answer.status} ${JSON.parse(body).code}`;
  };
}

function shop(express, folds = true) {
  const app = express();
  if (!folds) app.enable("case sensitive routing").enable("strict routing");
  app.get("/orders/export", (request, response) => response.send("all orders"));
  app.get("/orders/export/lines", (request, response) => response.send("all orders"));
  app.get("/orders/:id", (request, response) => response.send(`order ${request.params.id}`));
  app.get("/orders/:id/:part", (request, response) => response.send(`order ${request.params.id}`));
  return (request, response) => app(request, response);
}

for (const [name, express] of Object.entries({ express4, express5 })) {
  test(`${name} serves the export for what a key for one order is not admitted to`, async () => {
    const app = shop(express);
    const [bare, behind] = [await served(app), await served(guarded(registry, () => "yourstore", app))];
    for (const target of FOLDED) {
      assert.equal(await bare(target, reads), "all orders", `${name} alone, ${target}`);
      assert.equal(await behind(target, reads), "403 unmapped_route", target);
      assert.equal(await behind(target, exports), "403 unmapped_route", target);
    }
    for (const target of ["/orders/export", "/orders/export/"]) {
      assert.equal(await behind(target, reads), "403 insufficient_scope");
      assert.equal(await behind(target, exports), "all orders");
    }
    for (const id of ["17", "17.json", "exports"]) {
      assert.equal(await behind(`/orders/${id}`, reads), `order ${id}`);
    }
  });
  test(`${name} can be told not to fold`, async () => {
    const bare = await served(shop(express, false));
    assert.equal(await bare("/orders/EXPORT", reads), "order EXPORT");
  });
}
