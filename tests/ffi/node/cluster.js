// A shop in two processes, for workers.test.js: `node cluster.js REGISTRY` prints its port. An answer says who gave it.

import cluster from "node:cluster";
import { createServer } from "node:http";
import { Registry } from "./bpos.js";
import { guarded } from "./server.js";
import { loaded } from "./suite.js";

const WORKERS = 2;

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", (worker, { port }) => {
    listening += 1;
    if (listening === WORKERS) console.log(port);
  });
  for (let worker = 0; worker < WORKERS; worker += 1) cluster.fork();
} else {
  loaded();
  const registry = Registry.open(process.argv[2], { read_only: true });
  const shop = guarded(registry, () => "yourstore", (request, response) => response.end());
  createServer((request, response) => {
    response.setHeader("Worker", process.pid);
    shop(request, response);
  }).listen(0, "127.0.0.1");
}
