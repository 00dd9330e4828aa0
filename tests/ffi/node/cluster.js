// A shop in four processes, for workers.test.js: `node cluster.js REGISTRY` prints its port. An answer says who gave it. With
// `alone` behind it nothing is shared, and the file is read again before each request.

import cluster from "node:cluster";
import { createServer } from "node:http";
import { Registry } from "./bpos.js";
import { guarded } from "./server.js";
import { loaded } from "./suite.js";

const WORKERS = 4;

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", (worker, { port }) => {
    listening += 1;
    if (listening === WORKERS) console.log(port);
  });
  for (let worker = 0; worker < WORKERS; worker += 1) cluster.fork();
} else {
  loaded();
  const alone = process.argv[3] === "alone";
  const registry = Registry.open(process.argv[2], { read_only: true, shared: !alone });
  const shop = guarded(registry, () => "yourstore", (request, response) => response.end());
  createServer((request, response) => {
    response.setHeader("Worker", process.pid);
    if (alone) registry.reloadIfChanged();
    shop(request, response);
  }).listen(0, "127.0.0.1");
}
